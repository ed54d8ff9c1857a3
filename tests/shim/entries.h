/* SPDX-License-Identifier: Apache-2.0 */
/* Entry points that the shim stands in for and that no header it includes declares: the C library's checked variants, other libraries'. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

struct z_stream_s;

ssize_t __pread_chk(int fd, void *to, size_t length, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *to, size_t length, off64_t at, size_t room);
ssize_t __read_chk(int fd, void *to, size_t length, size_t room);
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int folder, const char *path, int flags);
int __openat64_2(int folder, const char *path, int flags);

int sd_notify(int unset, const char *state);
int inflate(struct z_stream_s *stream, int flush);
int deflate(struct z_stream_s *stream, int flush);
