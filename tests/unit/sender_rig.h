/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders over a core, a journal, a dialler and links that only remember (fake_link.h): the test opens and ends links, lets the journal take or
 * refuse outcomes, and lets reads fail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/core/core.h"
#include "broker/net/dial.h"
#include "broker/senders/senders.h"
#include "fake_link.h"

#define RIG_MESSAGES 64

struct rig_message {
	const char *control;
	struct buffer body;
	bool waits, settling;
	enum outcome outcome; /* on disk; 0: none */
	char code[32], text[320];
};

struct sender_rig {
	struct config config;
	struct config_destination destination;
	struct senders *senders;
	struct rig_message messages[RIG_MESSAGES + 1]; /* by sequence, from 1 */
	uint64_t newest;
	bool held;
	struct core_watch *watch;

	/* The dialler. */
	const struct link_handler *handler;
	void *door;
	void (*failed)(void *door, const struct dial_failure *failure);
	bool dialling;
	unsigned dials;
	int dial_error;
	struct link link;
	bool linked;
	bool judged_out; /* what judging says of it */

	/* The journal. */
	int read_error;	  /* what journal_read says */
	int settle_error; /* what core_settle's done is told at once; 0: it waits for rig_journal */
	unsigned settles;
	uint64_t now_us;

	unsigned downs, ups;
	char reason[256];
};

extern struct sender_rig rig;

/* One destination, "lab", of this window. */
void rig_start(unsigned window);
/* Ends the link first. */
void rig_stop(void);

/* A message for the destination; its sequence. ${body} NULL: a small one with this MSH-10. */
uint64_t rig_message(const char *control, const char *body);

/* What was dialled is there. */
void rig_open(void);
/* What was dialled is not. */
void rig_refuse(const char *why);
/* The link is gone, as it was ended or as ${end} says. */
void rig_end(enum link_end end);

/* An acknowledgement comes. */
void rig_answer(const char *code, const char *control);

/* Outcomes handed over so far are on disk, or (${error}) were not taken. */
void rig_journal(int error);

/* Reads that were asked for come to their end, and those that they ask for. */
void rig_read(void);

/* The next timer, whatever it is for. */
void rig_pause(void);

/* What was sent since the last call has a message of this MSH-10, framed, and nothing else. NULL: nothing was sent. */
void rig_sent(const char *control);

struct sender_state rig_state(void);

/* rig_start, and a link that is open and has carried the message ${control}, unanswered. */
void rig_begin(unsigned window, const char *control);
