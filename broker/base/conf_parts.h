/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of a configuration, read in this order: what comes later refers to what came before. The inside of config_load.
 *
 * Each fills its fields of ${c} from all files; errors as conf_reader.h says.
 */
#pragma once

#include "broker/base/conf_reader.h"
#include "broker/base/config.h"

/* state, control, log, admin, unrouted, tls, journal, limits */
void conf_read_plain(struct conf_reader *r, struct config *c);

/* Of them, control alone. */
void conf_read_control(struct conf_reader *r, struct config *c);

void conf_read_establishments(struct conf_reader *r, struct config *c);

/* With establishments known: production without revocation lists is an error unless it was asked for in so many words. */
void conf_check_revocation(struct conf_reader *r, const struct config *c);
void conf_read_peers(struct conf_reader *r, struct config *c);

/* The certificates of one peer; and, when all are read, whether one stands for two. ${items} are the peers' settings. */
void conf_read_identities(
    struct conf_reader *r, const config_setting_t *setting, const char *what, struct config_peer *peer);
void conf_check_identities(struct conf_reader *r, const struct config *c, config_setting_t *const *items);

void conf_read_listeners(struct conf_reader *r, struct config *c);

/* Whether a listener without TLS is bound to the peer ${name}, before listeners are read. */
bool conf_has_plain(struct conf_reader *r, const char *name);

/* inboxes, then destinations */
void conf_read_destinations(struct conf_reader *r, struct config *c);
void conf_read_routes(struct conf_reader *r, struct config *c);

/* "peer chu-lyon", for errors; ${kind} alone when ${setting} has no usable name. */
const char *conf_label(struct conf_reader *r, const char *kind, const config_setting_t *setting);

/*
 * Tell ${name} when an earlier one of the ${count} in ${names} is the same; ${items} are their settings. ${kind} says what is named
 * ("peer"). NULL names are passed over.
 */
void conf_check_name(struct conf_reader *r, const char *kind, config_setting_t *const *items,
    const char *const *names, size_t count);

/* The index of ${name} in ${names}, or ${count}, and then an error at ${setting} that says which name was meant. */
size_t conf_find(struct conf_reader *r, const config_setting_t *setting, const char *what, const char *kind,
    const char *name, const char *const *names, size_t count);
