/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forms of values in the configuration: sizes, times, names, FINESS numbers, distinguished names. Pure functions over C strings.
 *
 * A form is read whole or refused: no blanks, no signs, no trailing characters, no silent wrap of a number that is too large.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONF_NAME_MAX 63 /* short enough for a log value and a column of a table */

/* "4096", "64K", "64M", "1G": bytes, units of 1024. */
bool conf_text_size(const char *text, uint64_t *bytes);

/* "500ms", "10s", "5m", "2h", "90d": milliseconds. A unit is required. */
bool conf_text_time(const char *text, uint64_t *milliseconds);

/* "20%": 1 to 100. */
bool conf_text_percent(const char *text, unsigned *percent);

/* A decimal number of at most ${most}. */
bool conf_text_number(const char *text, uint64_t most, uint64_t *number);

/* A short name: [a-z0-9] and '-', not at the ends, at most CONF_NAME_MAX: it stands in logs, metrics, URLs. */
bool conf_text_name(const char *text);

/* The form of a FINESS number: 9 characters, digits but for A or B in the second place (Corsica, and the national test range). */
bool conf_text_finess(const char *text);

/* An IPv4 or IPv6 address in digits. */
bool conf_text_address(const char *text);
bool conf_text_loopback(const char *text);

/* The name of a host (RFC 1123 §2.1: letters, digits and '-' between dots, at most 253), or an address in digits. */
bool conf_text_host(const char *text);

/* "host:port", "192.0.2.1:port" or "[2001:db8::1]:port", port 1 to 65535. ${host} has room for all of ${text}. */
bool conf_text_endpoint(const char *text, char *host, uint16_t *port);

enum conf_dn {
	CONF_DN_GOOD = 0,
	CONF_DN_FORM,	/* not the RFC 2253 form that OpenSSL prints */
	CONF_DN_PASTED, /* "subject=..." or "issuer=..." came along */
};

/* The RFC 2253 form of a name ("CN=x,O=y,C=FR"); counts its relative names in ${rdns}. */
enum conf_dn conf_text_dn(const char *text, size_t *rdns);

/* "sha256:" and 64 hexadecimal digits. */
bool conf_text_spki(const char *text, uint8_t digest[static 32]);

/* Of ${words} (${count}, NULLs passed over) the one that differs from ${text} in the fewest letters, if that is few enough to be a slip;
 * else NULL. */
const char *conf_text_nearest(const char *text, const char *const *words, size_t count);
