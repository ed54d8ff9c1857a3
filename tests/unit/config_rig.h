/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration in a folder of its own, a good one to begin with, and the errors that the last load told. */
#pragma once

#include "broker/base/config.h"

extern char conf_dir[], conf_path[], conf_more[], conf_extra[]; /* liaison.conf, conf.d, one file in it */
extern struct buffer conf_errors;
extern const char conf_good[];

void conf_write_file(const char *file, const char *text);

/* The good file with one text in it replaced. */
void conf_write_changed(const char *from, const char *to);

/* ${text} in conf.d, which is made. */
void conf_write_more(const char *text);

/* The errors are NUL-ended after it. */
int conf_load(struct config **config);
void conf_assert_error(const char *text);
size_t conf_count_errors(void);

/* Of a cmocka group. */
int conf_setup(void **state);
int conf_teardown(void **state);
