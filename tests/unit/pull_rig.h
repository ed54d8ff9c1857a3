/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API over a link, a core and a journal in memory: two inboxes of which the peer reads the first, and five records.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/base/budget.h"
#include "broker/core/core.h"
#include "broker/doors/pull.h"
#include "broker/doors/slots.h"
#include "fake_link.h"

#define MESSAGE_1                                                                                            \
	"MSH|^~\\&|LIS^1.2.3^ISO|CHU|DUI|E|20251121||ORU^R01|A1|P|2.5\r"                                     \
	"OBX|1|ED|11502-2^CR d'examens \xe9\\T\\c^LN||^text^xml^Base64^PENsaW5pY2FsRG9jdW1lbnQvPg\r"
#define ENCODED "PENsaW5pY2FsRG9jdW1lbnQvPg"

#define HOST	    "Host: broker\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" HOST "\r\n"

/* What waits in each inbox. */
extern uint64_t waiting[2][8];
extern size_t waiting_count[2];

/* Watches of the core: how many, and the newest. */
extern struct core_watch *watched;
extern size_t watches;

/* The read that the door wants journalled. */
extern struct rig_access {
	char what[64];
	char who[64];
	uint64_t seq;
	core_settled_fn *done;
	void *arg;
} access_asked;

/* Say that it is on disk, or why not. */
void rig_access_journalled(int error);

/* What was settled last, and what the core will say of it. */
extern int settle_error;
extern struct settlement settled_seen[8];
extern size_t settled_count;

extern struct config_peer peer_config;
extern struct peer peer;
extern struct config config;
extern struct slots slots;
extern struct budget budget;
extern struct pull_door *door;
extern struct link link_;

/* Before and after each test: everything as new, one link open. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* What is answered to ${request} when everything works at once. */
const char *rig_ask(const char *request);

/* Fail, and show ${text}, when it does not begin with, or have, that. */
void starts(const char *text, const char *with);
void has(const char *text, const char *part);
