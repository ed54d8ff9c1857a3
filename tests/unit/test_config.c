/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration loads whole or tells every error with its place; the shipped sample says the defaults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/config.h"
#include "broker/base/log.h"
#include "tests/unit/config_rig.h"
#include "tests/unit/failmalloc.h"

static void
test_good(void **state)
{
	struct config *c;
	const struct config_peer *lis, *dui;
	char certificate[128];

	(void)state;
	conf_write_file(conf_path, conf_good);
	assert_int_equal(conf_load(&c), 0);
	assert_int_equal(conf_count_errors(), 0);
	(void)snprintf(certificate, sizeof(certificate), "%s/c.pem", conf_dir);
	assert_string_equal(c->tls.certificate, certificate);
	assert_string_equal(c->tls.authorities, "/ca.pem");
	assert_string_equal(c->state, "/var/lib/liaison");
	assert_string_equal(c->socket_group, "liaison");
	assert_null(c->log_file);
	assert_int_equal(c->log_level, LEVEL_INFO);
	assert_int_equal(c->unrouted, UNROUTED_PARK);
	assert_int_equal(c->journal.segment_size, 64 << 20);
	assert_int_equal(c->journal.retention_s, 90 * 86400);
	assert_int_equal(c->limits.stop_ms, 8000);
	assert_int_equal(c->establishments[0].finess_count, 2);
	assert_string_equal(c->establishments[0].finess[1], "2A0000014");
	lis = config_peer(c, "lis");
	dui = config_peer(c, "dui");
	assert_ptr_equal(lis, &c->peers[0]);
	assert_null(config_peer(c, "nobody"));
	assert_true(lis->may_send && !lis->may_read && dui->may_read && dui->may_send);
	assert_int_equal(lis->processing, PROCESSING_P);
	assert_int_equal(dui->processing, PROCESSING_P | PROCESSING_T | PROCESSING_D);
	assert_int_equal(lis->lenient, LENIENT_LF | LENIENT_NO_END_CR);
	assert_int_equal(lis->identity_count, 2);
	assert_int_equal(lis->identities[0].kind, IDENTITY_SUBJECT);
	assert_string_equal(lis->identities[0].subject, "CN=a\\,b,O=CHU");
	assert_string_equal(lis->identities[1].subject, "dns:lis.chu.example");
	assert_int_equal(dui->identities[0].kind, IDENTITY_SPKI);
	assert_int_equal(dui->identities[0].spki[31], 0xff);
	assert_string_equal(lis->senders[0].application, "LIS");
	assert_null(lis->senders[1].application);
	assert_string_equal(lis->types[0].event, "R01");
	assert_string_equal(lis->types[1].type, "MDM");
	assert_null(lis->types[1].event);
	assert_null(lis->types[2].type);
	assert_int_equal(lis->max_size, 64 << 20);
	assert_int_equal(dui->max_size, 4096);
	assert_ptr_equal(config_destination(c, "box"), &c->destinations[0]);
	assert_ptr_equal(c->destinations[0].readers[0], dui);
	assert_int_equal(c->destinations[0].max_age_s, 7200);
	assert_int_equal(c->destinations[0].max_disk_percent, 5);
	assert_true(c->routes[0].go_on && !c->routes[1].go_on);
	assert_ptr_equal(c->routes[1].to[0], &c->destinations[0]);
	assert_string_equal(c->routes[0].peer, "l*");
	assert_null(c->routes[1].peer);
	config_release(c);
	config_release(NULL);
}

/* The way to the broker is found however wrong the rest is, as far as it can be parsed. */
static void
test_control(void **state)
{
	struct config *c;

	(void)state;
	conf_write_file(conf_path, "control = { socket = \"c.sock\"; };\nstate = 5;\nbogus = 1;\n");
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	buffer_reset(&conf_errors);
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), 0);
	assert_string_equal(strrchr(c->socket, '/'), "/c.sock");
	assert_null(c->state);
	config_release(c);
	conf_write_file(conf_path, "control = { sock = \"c.sock\"; };\n");
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), CONFIG_INVALID);
	conf_write_file(conf_path, "control = = ;\n");
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), CONFIG_INVALID);
	/* Half written: what stands before the place counts, what stands behind it is not seen. */
	conf_write_file(conf_path, "control = { socket = \"c.sock\"; };\npeers = (( ;\n");
	buffer_reset(&conf_errors);
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), 0);
	assert_string_equal(strrchr(c->socket, '/'), "/c.sock");
	assert_true(conf_errors.len > 0);
	config_release(c);
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	conf_write_file(conf_path, "peers = (( ;\ncontrol = { socket = \"c.sock\"; };\n");
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), CONFIG_INVALID);
	conf_write_file(conf_path, "control = { socket = \"c.sock\" group = ;\n");
	assert_int_equal(config_load_control(conf_path, &c, &conf_errors), CONFIG_INVALID);
}

/* It lives until the last who holds it lets go; one that was not loaded is nobody's to free. */
static void
test_holds(void **state)
{
	static const struct config made = { .state = "/" };
	struct config *c;

	(void)state;
	conf_write_file(conf_path, conf_good);
	assert_int_equal(conf_load(&c), 0);
	assert_ptr_equal(config_hold(c), c);
	assert_ptr_equal(config_hold(c), c);
	config_release(c);
	config_release(c);
	assert_string_equal(c->peers[0].name, "lis");
	config_release(c);
	assert_ptr_equal(config_hold(&made), &made);
	config_release(&made);
	config_release(&made);
	assert_string_equal(made.state, "/");
}

/* Numbers past 9 digits, @ and NUL are looked for where libconfig would read them, not in comments and texts. */
static void
test_scan(void **state)
{
	struct config *c;
	FILE *f;

	(void)state;
	conf_write_changed(
	    "routes =", "# 12345678901 @include \"x\"\n// 12345678901\n/* 12345678901 @ \n */ routes =");
	assert_int_equal(conf_load(&c), 0);
	config_release(c);
	conf_write_changed("\"l*\"", "\"l*\" \"\" /* \" */");
	assert_int_equal(conf_load(&c), 0);
	config_release(c);
	conf_write_file(conf_path, conf_good);
	f = fopen(conf_path, "a");
	assert_non_null(f);
	assert_int_equal(fwrite("\0", 1, 1, f), 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(conf_load(&c), -EILSEQ);
	conf_assert_error("liaison.conf: cannot be read: holds a NUL byte");
	assert_int_equal(unlink(conf_path), 0);
	assert_int_equal(conf_load(&c), -ENOENT);
	conf_assert_error("liaison.conf: cannot be read: No such file or directory");
}

/* Not only the first error is told, and none twice. */
static void
test_all_errors(void **state)
{
	struct config *c;

	(void)state;
	conf_write_file(conf_path,
	    "state = 5;\nbogus = 1;\nlog = { level = \"loud\"; };\n"
	    "peers = ( { name = \"a\"; establishment = \"x\"; may = [ \"fly\" ]; certificates = ( ); } );\n"
	    "routes = ( { name = \"r\"; to = [ \"nowhere\" ]; } );\n");
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	conf_assert_error(":1: top: state is a number; meant is a path in quotes");
	conf_assert_error(":2: \"bogus\" is no setting\n");
	conf_assert_error(":3: log: level = \"loud\" is unknown");
	conf_assert_error(":4: peer a: there is no establishment \"x\"\n");
	conf_assert_error(":4: peer a: may has no \"fly\"");
	conf_assert_error(":4: peer a: certificates is missing or no list");
	conf_assert_error(":5: route: there is no inbox or destination \"nowhere\"\n");
	conf_assert_error(":1: tls: certificate is missing");
	conf_assert_error(":1: tls: key is missing");
	conf_assert_error(":1: tls: authorities is missing");
	conf_assert_error(":1: listeners is missing or empty");
	assert_int_equal(conf_count_errors(), 11);
}

static void
test_conf_d(void **state)
{
	struct config *c;
	char ignored[128];

	(void)state;
	conf_write_file(conf_path, conf_good);
	assert_int_equal(mkdir(conf_more, 0700), 0);
	(void)snprintf(ignored, sizeof(ignored), "%s/.hidden.conf", conf_more);
	conf_write_file(ignored, "nonsense");
	conf_write_file(conf_extra,
	    "log = { file = \"here.log\"; };\n"
	    "inboxes = ( { name = \"second\"; establishment = \"chu\"; readers = [ ]; } );\n");
	assert_int_equal(conf_load(&c), 0);
	assert_int_equal(c->destination_count, 2);
	assert_string_equal(c->destinations[1].name, "second");
	assert_string_equal(strrchr(c->log_file, '/'), "/here.log");
	assert_int_equal(strncmp(c->log_file, conf_more, strlen(conf_more)), 0);
	config_release(c);
	conf_write_file(conf_extra,
	    "tls = { certificate = \"x\"; key = \"x\"; authorities = \"x\"; };\n"
	    "inboxes = ( { name = \"box\"; establishment = \"chu\"; readers = [ ]; } );\n");
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	conf_assert_error("conf.d/10-more.conf:1: tls is already set at ");
	conf_assert_error("conf.d/10-more.conf:2: inbox box is already defined at ");
	conf_assert_error("liaison.conf:13\n");
	assert_int_equal(conf_count_errors(), 2);
	/* both files' errors of form, and no others */
	conf_write_changed("routes", "routes routes");
	conf_write_file(conf_extra, "\n\nx = = 1;\n");
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	conf_assert_error("liaison.conf:14: syntax error");
	conf_assert_error("10-more.conf:3: syntax error");
	assert_int_equal(conf_count_errors(), 2);
	assert_int_equal(unlink(ignored), 0);
	assert_int_equal(unlink(conf_extra), 0);
	assert_int_equal(rmdir(conf_more), 0);
}

static char *
read_sample(void)
{
	FILE *f = fopen(SOURCE_ROOT "/conf/liaison.conf", "r");
	char *text = calloc(1, 1 << 16);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 1000);
	assert_int_equal(fclose(f), 0);
	return text;
}

static void
assert_same_text(const char *a, const char *b)
{
	assert_int_equal(a == NULL, b == NULL);
	if (a)
		assert_string_equal(a, b);
}

static void
assert_same_peers(const struct config *a, const struct config *b)
{
	assert_int_equal(a->peer_count, b->peer_count);
	for (size_t i = 0; i < a->peer_count; i++) {
		const struct config_peer *x = &a->peers[i], *y = &b->peers[i];

		assert_int_equal(x->processing, y->processing);
		assert_int_equal(x->lenient, y->lenient);
		assert_int_equal(x->max_size, y->max_size);
		assert_int_equal(x->max_connections, y->max_connections);
		assert_int_equal(x->max_in_flight, y->max_in_flight);
		assert_int_equal(x->junk_quota, y->junk_quota);
		assert_int_equal(x->silent_after_s, y->silent_after_s);
		assert_int_equal(x->restamped_count, y->restamped_count);
		assert_int_equal(x->type_count, y->type_count);
	}
}

static void
assert_same_dial(const struct config_destination *a, const struct config_destination *b)
{
	assert_int_equal(a->kind, DESTINATION_MLLP);
	assert_string_equal(a->dial.server_name, b->dial.server_name);
	assert_int_equal(a->dial.window, b->dial.window);
	assert_int_equal(a->dial.connect_ms, b->dial.connect_ms);
	assert_int_equal(a->dial.acknowledge_ms, b->dial.acknowledge_ms);
	assert_int_equal(a->dial.retry_first_ms, b->dial.retry_first_ms);
	assert_int_equal(a->dial.retry_longest_ms, b->dial.retry_longest_ms);
	assert_int_equal(a->max_age_s, b->max_age_s);
	assert_int_equal(a->max_disk_percent, b->max_disk_percent);
}

/* The sample loads, and what it says are the defaults are the defaults: with every mark taken away it is the same configuration. */
static void
test_sample(void **state)
{
	struct config *plain, *open;
	char *text = read_sample();
	unsigned opened = 0;
	regex_t mark;

	(void)state;
	conf_write_file(conf_path, text);
	if (conf_load(&plain) != 0)
		fail_msg("%s", (char *)conf_errors.data);
	assert_int_equal(regcomp(&mark, "^[ \t]*#[a-z_]+ = .*;$", REG_EXTENDED | REG_NOSUB), 0);
	for (char *line = text; *line; line = strchr(line, '\n') + 1) {
		char *end = strchr(line, '\n');

		*end = '\0';
		if (regexec(&mark, line, 0, NULL, 0) == 0) {
			*strchr(line, '#') = ' ';
			opened++;
		}
		*end = '\n';
	}
	regfree(&mark);
	conf_write_file(conf_path, text);
	free(text);
	if (conf_load(&open) != 0)
		fail_msg("%s", (char *)conf_errors.data);
	assert_true(opened >= 35);
	assert_string_equal(plain->state, open->state);
	assert_string_equal(plain->socket, open->socket);
	assert_same_text(plain->socket_group, open->socket_group);
	assert_same_text(plain->log_file, open->log_file);
	assert_int_equal(plain->log_level, open->log_level);
	assert_string_equal(plain->admin_address, open->admin_address);
	assert_int_equal(plain->admin_port, open->admin_port);
	assert_int_equal(plain->unrouted, open->unrouted);
	assert_memory_equal(&plain->journal, &open->journal, sizeof(plain->journal));
	assert_memory_equal(&plain->limits, &open->limits, sizeof(plain->limits));
	assert_same_peers(plain, open);
	assert_int_equal(plain->listeners[0].max_connections, open->listeners[0].max_connections);
	assert_int_equal(plain->destinations[0].max_age_s, open->destinations[0].max_age_s);
	assert_int_equal(plain->destinations[0].max_disk_percent, open->destinations[0].max_disk_percent);
	assert_same_dial(&plain->destinations[1], &open->destinations[1]);
	assert_int_equal(plain->tls.unchecked, open->tls.unchecked);
	assert_int_equal(plain->routes[0].go_on, open->routes[0].go_on);
	config_release(plain);
	config_release(open);
}

/*
 * From every allocation of ours on all fail, for a good file and for one full of errors: nothing leaks, nothing is taken by half. (Those of
 * libconfig go on: its version 1.5 uses a NULL it was given, or calls exit.)
 */
static void
test_nth_allocation(void **state)
{
	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		size_t n = 1;
		bool done = false;

		if (bad)
			conf_write_changed("name = \"dui\"", "nome = \"lis\"; bogus = 1");
		else
			conf_write_file(conf_path, conf_good);
		for (; !done; n++) {
			struct config *c = (struct config *)1;
			struct buffer told;
			int rc;

			buffer_init(&told, 1 << 20);
			failmalloc_at(n);
			rc = config_load(conf_path, &c, &told);
			done = failmalloc_off();
			buffer_fini(&told);
			if (done) {
				assert_int_equal(rc, bad ? CONFIG_INVALID : 0);
				config_release(c);
			} else {
				assert_null(c);
				/* when only the text of the errors was short of memory they are errors still */
				assert_true(rc == -ENOMEM || (bad && rc == CONFIG_INVALID));
			}
		}
		assert_true(n > 4);
	}
}

static void
test_check_files(void **state)
{
	struct config *c;
	char key[128], certificate[128], text[4096];

	(void)state;
	(void)snprintf(key, sizeof(key), "%s/k.pem", conf_dir);
	(void)snprintf(certificate, sizeof(certificate), "%s/c.pem", conf_dir);
	(void)snprintf(text, sizeof(text),
	    "state = \"state\";\ncontrol = { socket = \"sock\"; group = \"no-such-group\"; };\nlog = { file "
	    "= "
	    "\"nowhere/log\"; };\nroutes =");
	conf_write_changed("routes =", text);
	conf_write_file(key, "key");
	conf_write_file(certificate, "certificate");
	assert_int_equal(chmod(key, 0640), 0);
	assert_int_equal(conf_load(&c), 0);
	assert_int_equal(config_check_files(c, &conf_errors), CONFIG_INVALID);
	buffer_append_byte(&conf_errors, 0);
	conf_errors.data[0] = ' '; /* the NUL that conf_load() put */
	conf_assert_error("k.pem: tls.key: others than its owner may read it; meant is mode 0600");
	conf_assert_error("/ca.pem: tls.authorities: No such file or directory\n");
	conf_assert_error("/nowhere: log.file: its directory: No such file or directory\n");
	conf_assert_error("control.group: there is no group \"no-such-group\"");
	assert_int_equal(conf_count_errors(), 4);
	config_release(c);

	(void)snprintf(text, sizeof(text),
	    "%s\nstate = \"state\"; control = { socket = \"sock\"; group = \"\"; };", conf_good);
	memcpy(strstr(text, "/ca.pem"), "./c.pem", 7);
	conf_write_file(conf_path, text);
	assert_int_equal(chmod(key, 0600), 0);
	assert_int_equal(conf_load(&c), 0);
	assert_null(c->socket_group);
	if (config_check_files(c, &conf_errors) != 0)
		fail_msg("%s", (char *)conf_errors.data + 1);
	config_release(c);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(unlink(certificate), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_holds),

		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_all_errors),
		cmocka_unit_test(test_conf_d),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_nth_allocation),
		cmocka_unit_test(test_check_files),
	};

	return cmocka_run_group_tests(tests, conf_setup, conf_teardown);
}
