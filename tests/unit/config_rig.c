/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char conf_dir[] = "/tmp/liaison-config-XXXXXX";
char conf_path[128], conf_extra[128], conf_more[64];
struct buffer conf_errors;

void
conf_write_file(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

int
conf_load(struct config **config)
{
	int rc;

	buffer_reset(&conf_errors);
	rc = config_load(conf_path, config, &conf_errors);
	buffer_append_byte(&conf_errors, 0);
	assert_false(buffer_failed(&conf_errors));
	return rc;
}

void
conf_assert_error(const char *text)
{
	if (!strstr((char *)conf_errors.data, text))
		fail_msg("not told: %s\ntold:\n%s", text, (char *)conf_errors.data);
}

size_t
conf_count_errors(void)
{
	size_t n = 0;

	for (const char *at = (char *)conf_errors.data; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

const char conf_good[] =
    "tls = { certificate = \"c.pem\"; key = \"k.pem\"; authorities = \"/ca.pem\"; "
    "revocation = \"unchecked\"; };\n"
    "establishments = ( { name = \"chu\"; finess = [ \"690000001\", \"2A0000014\" ]; mode = \"production\"; "
    "},\n"
    "  { name = \"ehpad\"; mode = \"test\"; } );\n"
    "peers = (\n"
    "  { name = \"lis\"; establishment = \"chu\"; may = [ \"send\" ];\n"
    "    certificates = ( { issuer = \"CN=CA,O=X,C=FR\"; subject = \"CN=a\\\\,b,O=CHU\"; },\n"
    "      { issuer = \"CN=CA,O=X,C=FR\"; san = \"dns:LIS.chu.example\"; } );\n"
    "    senders = [ \"LIS|CHU\", \"*|CHU\" ]; types = [ \"ORU^R01\", \"MDM^*\", \"*\" ];\n"
    "    lenient = [ \"lf\", \"no-end-cr\" ]; charset = \"8859/15\"; restamped = [ \"MSH-7\" ]; },\n"
    "  { name = \"dui\"; establishment = \"ehpad\"; may = [ \"read\", \"send\" ]; max_size = 4096;\n"
    "    certificates = ( { spki = "
    "\"sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\"; } ); } );\n"
    "listeners = ( { name = \"mllp\"; protocol = \"mllp\"; address = \"127.0.0.1\"; port = 2575; } );\n"
    "inboxes = ( { name = \"box\"; establishment = \"ehpad\"; readers = [ \"dui\" ]; max_age = \"2h\"; "
    "max_size = \"5%\"; } );\n"
    "routes = ( { name = \"r\"; when = { peer = \"l*\"; type = \"ORU\"; mode = \"test\"; }; to = [ \"box\" "
    "]; go_on = true; },\n"
    "  { name = \"rest\"; to = [ \"box\" ]; } );\n";

/* The good file with one text in it replaced. */
void
conf_write_changed(const char *from, const char *to)
{
	const char *at = strstr(conf_good, from);
	char *text;

	assert_non_null(at);
	text = calloc(1, sizeof(conf_good) + strlen(to));
	(void)sprintf(text, "%.*s%s%s", (int)(at - conf_good), conf_good, to, at + strlen(from));
	conf_write_file(conf_path, text);
	free(text);
}

int
conf_setup(void **state)
{
	(void)state;
	buffer_init(&conf_errors, 1 << 20);
	if (!mkdtemp(conf_dir))
		return -1;
	(void)snprintf(conf_path, sizeof(conf_path), "%s/liaison.conf", conf_dir);
	(void)snprintf(conf_more, sizeof(conf_more), "%s/conf.d", conf_dir);
	(void)snprintf(conf_extra, sizeof(conf_extra), "%s/10-more.conf", conf_more);
	return 0;
}

int
conf_teardown(void **state)
{
	(void)state;
	buffer_fini(&conf_errors);
	(void)unlink(conf_path);
	(void)unlink(conf_extra);
	(void)rmdir(conf_more);
	return rmdir(conf_dir);
}

void
conf_write_more(const char *text)
{
	assert_int_equal(mkdir(conf_more, 0700) == 0 || errno == EEXIST, 1);
	conf_write_file(conf_extra, text);
}
