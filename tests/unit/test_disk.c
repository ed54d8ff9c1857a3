/* SPDX-License-Identifier: Apache-2.0 */
/* System calls of the store: short transfers and interruptions are made whole, errors come through; the lock excludes. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/store/disk.h"
#include "broker/store/lock.h"
#include "tests/unit/disk_faults.h"

static char directory[] = "/tmp/disk-XXXXXX";
static char path[64];

static int
setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof path, "%s/file", directory);
	faults_install();
	return 0;
}

static int
teardown(void **state)
{
	char other[64];

	(void)state;
	faults_remove();
	unlink(path);
	snprintf(other, sizeof other, "%s/lock", directory);
	unlink(other);
	return rmdir(directory);
}

static void
test_short_transfers(void **state)
{
	uint8_t first[1000], second[3000], back[5000];
	struct iovec iov[4] = { { first, sizeof first }, { NULL, 0 }, { second, sizeof second },
		{ first, 1 } };
	size_t got;
	int fd;

	(void)state;
	memset(first, 'a', sizeof first);
	memset(second, 'b', sizeof second);
	assert_int_equal(disk_open(path, O_RDWR | O_CREAT | O_TRUNC, &fd), 0);
	faults_short_writes(7);
	assert_int_equal(disk_write(fd, 10, iov, 4), 0);
	faults_short_writes(0);
	assert_int_equal(disk_read(fd, 0, back, sizeof back, &got), 0);
	assert_int_equal(got, 10 + 4001);
	assert_int_equal(back[9], 0);
	assert_memory_equal(back + 10, first, sizeof first);
	assert_memory_equal(back + 1010, second, sizeof second);
	assert_int_equal(back[4010], 'a');
	disk_close(fd);
	disk_close(-1);
}

static void
test_long_vectors(void **state)
{
	enum { PIECES = 2000 };
	struct iovec *iov = calloc(PIECES, sizeof *iov);
	uint8_t bytes[PIECES], back[PIECES];
	size_t got;
	int fd;

	(void)state;
	for (size_t i = 0; i < PIECES; i++) {
		bytes[i] = (uint8_t)i;
		iov[i] = (struct iovec){ &bytes[i], 1 };
	}
	assert_int_equal(disk_open(path, O_RDWR | O_CREAT | O_TRUNC, &fd), 0);
	assert_int_equal(disk_write(fd, 0, iov, PIECES), 0);
	assert_int_equal(disk_read(fd, 0, back, sizeof back, &got), 0);
	assert_int_equal(got, PIECES);
	assert_memory_equal(bytes, back, PIECES);
	disk_close(fd);
	free(iov);
}

static void
test_errors(void **state)
{
	uint64_t size, free_bytes, total;
	uint8_t byte = 0;
	size_t got;
	int fd;

	(void)state;
	assert_int_equal(disk_open("/nonexistent/file", O_RDONLY, &fd), -ENOENT);
	assert_int_equal(disk_open(path, O_RDWR | O_CREAT | O_TRUNC, &fd), 0);
	faults_at(REFUSE_WRITE, 1, ENOSPC, false);
	assert_int_equal(disk_write_bytes(fd, 0, &byte, 1), -ENOSPC);
	assert_int_equal(disk_write_bytes(fd, 0, &byte, 1), 0);
	faults_at(REFUSE_FDATASYNC, 1, EIO, false);
	assert_int_equal(disk_sync(fd), -EIO);
	faults_at(REFUSE_FSYNC, 2, EIO, true);
	assert_int_equal(disk_sync_file(fd), 0);
	assert_int_equal(disk_sync_file(fd), -EIO);
	assert_int_equal(disk_sync_directory(directory), -EIO);
	faults_at(REFUSE_READ, 1, EIO, false);
	assert_int_equal(disk_read(fd, 0, &byte, 1, &got), -EIO);
	faults_at(REFUSE_FTRUNCATE, 1, EIO, false);
	assert_int_equal(disk_truncate(fd, 0), -EIO);
	faults_at(REFUSE_FALLOCATE, 1, EOPNOTSUPP, false);
	assert_int_equal(disk_allocate(fd, 0, 4096), 0);
	faults_at(REFUSE_FALLOCATE, 1, ENOSPC, false);
	assert_int_equal(disk_allocate(fd, 0, 4096), -ENOSPC);
	faults_none();
	assert_int_equal(disk_allocate(fd, 1, 8192), 0);
	assert_int_equal(disk_size(fd, &size), 0);
	assert_int_equal(size, 8192);
	assert_int_equal(disk_mkdir(directory), 0);
	assert_int_equal(disk_space(directory, &free_bytes, &total), 0);
	assert_true(free_bytes <= total);
	faults_space(12 << 20);
	assert_int_equal(disk_space(directory, &free_bytes, &total), 0);
	assert_int_equal(free_bytes, 12 << 20);
	faults_space(UINT64_MAX);
	assert_int_equal(disk_rename(path, "/nonexistent/file"), -ENOENT);
	assert_int_equal(disk_unlink("/nonexistent/file"), -ENOENT);
	disk_close(fd);
}

static void
test_lock(void **state)
{
	int fd, other, status;
	pid_t child;

	(void)state;
	assert_int_equal(lock_take("/nonexistent", &fd), -ENOENT);
	assert_int_equal(lock_take(directory, &fd), 0);
	assert_int_equal(lock_take(directory, &other), LOCK_HELD);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(lock_take(directory, &other) == LOCK_HELD ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	lock_release(fd);
	assert_int_equal(lock_take(directory, &fd), 0);
	lock_release(fd);
	lock_release(-1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_transfers),
		cmocka_unit_test(test_long_vectors),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_lock),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
