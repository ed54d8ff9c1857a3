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
#include "tests/unit/failmalloc.h"

static char dir[] = "/tmp/liaison-config-XXXXXX";
static char path[128], extra[128], conf_d[64];
static struct buffer errors;

static void
write_file(const char *file, const char *text)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fputs(text, f) >= 0, 1);
	assert_int_equal(fclose(f), 0);
}

static int
load(struct config **config)
{
	int rc;

	buffer_reset(&errors);
	rc = config_load(path, config, &errors);
	buffer_append_byte(&errors, 0);
	assert_false(buffer_failed(&errors));
	return rc;
}

static void
assert_error(const char *text)
{
	if (!strstr((char *)errors.data, text))
		fail_msg("not told: %s\ntold:\n%s", text, (char *)errors.data);
}

static size_t
count_errors(void)
{
	size_t n = 0;

	for (const char *at = (char *)errors.data; (at = strchr(at, '\n')); at++)
		n++;
	return n;
}

static const char good[] =
    "tls = { certificate = \"c.pem\"; key = \"k.pem\"; authorities = \"/ca.pem\"; };\n"
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
static void
write_changed(const char *from, const char *to)
{
	const char *at = strstr(good, from);
	char *text;

	assert_non_null(at);
	text = calloc(1, sizeof(good) + strlen(to));
	(void)sprintf(text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	write_file(path, text);
	free(text);
}

static int
setup(void **state)
{
	(void)state;
	buffer_init(&errors, 1 << 20);
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/liaison.conf", dir);
	(void)snprintf(conf_d, sizeof(conf_d), "%s/conf.d", dir);
	(void)snprintf(extra, sizeof(extra), "%s/10-more.conf", conf_d);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	buffer_fini(&errors);
	(void)unlink(path);
	(void)unlink(extra);
	(void)rmdir(conf_d);
	return rmdir(dir);
}

static void
test_good(void **state)
{
	struct config *c;
	const struct config_peer *lis, *dui;
	char certificate[128];

	(void)state;
	write_file(path, good);
	assert_int_equal(load(&c), 0);
	assert_int_equal(count_errors(), 0);
	(void)snprintf(certificate, sizeof(certificate), "%s/c.pem", dir);
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
	assert_int_equal(dui->index, 1);
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

/* It lives until the last who holds it lets go; one that was not loaded is nobody's to free. */
static void
test_holds(void **state)
{
	static const struct config made = { .state = "/" };
	struct config *c;

	(void)state;
	write_file(path, good);
	assert_int_equal(load(&c), 0);
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

/* What is changed in the good file, and the whole line that is told (behind the directory), alone. */
static const struct {
	const char *from, *to, *told;
} mistakes[] = {
	{ "listeners", "unrooted = \"park\";\nlisteners",
	    "liaison.conf:12: \"unrooted\" is no setting; did you mean \"unrouted\"?" },
	{ "max_age", "max_aje",
	    "liaison.conf:13: inbox: \"max_aje\" is no setting; did you mean \"max_age\"?" },
	{ "key = \"k.pem\"; ", "", "liaison.conf:1: tls: key is missing; meant is a path in quotes" },
	{ "\"690000001\"", "\"69000000\"",
	    "liaison.conf:2: establishment chu: finess \"69000000\" is not a FINESS number; meant are 9 "
	    "characters" },
	{ "\"2A0000014\"", "\"690000001\"",
	    "liaison.conf:2: establishment chu: finess \"690000001\" is there twice" },
	{ "\"production\"", "\"prod\"",
	    "liaison.conf:2: establishment chu: mode = \"prod\" is unknown; meant is \"production\" or "
	    "\"test\"" },
	{ "name = \"ehpad\"", "name = \"EHPAD 1\"",
	    "liaison.conf:3: establishment: name = \"EHPAD 1\" is not a short name of a-z, 0-9 and '-'" },
	{ "name = \"ehpad\"", "name = \"chu\"", "liaison.conf:3: establishment chu is already defined at " },
	{ "establishment = \"chu\"", "establishment = \"chuu\"",
	    "liaison.conf:5: peer lis: there is no establishment \"chuu\"; did you mean \"chu\"?" },
	{ "[ \"send\" ]", "[ \"sent\" ]",
	    "liaison.conf:5: peer lis: may has no \"sent\"; did you mean \"send\"?" },
	{ "may = [ \"send\" ];", "",
	    "liaison.conf:5: peer lis: may is missing; meant is [ \"send\" ], [ \"read\" ] or both" },
	{ "CN=a\\\\,b,O=CHU", "CN=a",
	    "liaison.conf:6: peer lis: subject \"CN=a\" has one part; a CN alone identifies nobody" },
	{ "CN=a\\\\,b,O=CHU", "CN=a+OU=b", "has one part; a CN alone identifies nobody" },
	{ "CN=a\\\\,b,O=CHU", "CN = a, O = CHU", "peer lis: subject is not in the form that `openssl x509" },
	{ "CN=a\\\\,b,O=CHU", "subject=CN=a,O=CHU",
	    "peer lis: subject begins with \"subject=\"; leave that word out" },
	{ "issuer = \"CN=CA,O=X,C=FR\"; subject", "subject",
	    "liaison.conf:6: peer lis: issuer is missing; a name identifies only together with the "
	    "authority" },
	{ "issuer = \"CN=CA,O=X,C=FR\"; san", "subject = \"CN=a,O=b\"; san",
	    "liaison.conf:7: peer lis: a certificate is { issuer; subject; }, { issuer; san; } or { spki; "
	    "}" },
	{ "dns:LIS", "LIS", "peer lis: san = \"LIS.chu.example\" is not \"dns:...\"" },
	{ "sha256:00", "sha256:0", "peer dui: spki is not \"sha256:\" and 64 hexadecimal digits" },
	{ "{ spki = \"sha256:00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\"; }",
	    "{ issuer = \"CN=CA,O=X,C=FR\"; san = \"dns:lis.CHU.example\"; }",
	    "liaison.conf:11: peer dui: the same certificate is peer lis at " },
	{ "\"*|CHU\"", "\"CHU\"", "liaison.conf:8: peer lis: sender \"CHU\" is not \"MSH-3|MSH-4\"" },
	{ "\"MDM^*\"", "\"MDM\"", "liaison.conf:8: peer lis: type \"MDM\" is not a message type" },
	{ "\"MDM^*\"", "\"MDM^T022\"", "type \"MDM^T022\" is not a message type" },
	{ "\"no-end-cr\"", "\"no-end\"", "lenient has no \"no-end\"" },
	{ "\"8859/15\"", "\"8859-15\"",
	    "charset = \"8859-15\" is none of HL7 table 0211 that is known here; did you mean \"8859/15\"?" },
	{ "\"MSH-7\"", "\"MSH-10\"", "\"MSH-10\" cannot be left out of the comparison" },
	{ "\"MSH-7\"", "\"PID-7\"", "\"PID-7\" cannot be left out of the comparison" },
	{ "name = \"dui\"", "name = \"lis\"", "liaison.conf:10: peer lis is already defined at " },
	{ "max_size = 4096", "max_size = \"2G\"", "peer dui: max_size must be from \"1K\" to \"1G\"" },
	{ "max_size = 4096", "max_size = \"64 M\"", "peer dui: max_size = \"64 M\" is not a size such as" },
	{ "max_size = 4096", "max_size = -1", "peer dui: max_size is not a size" },
	{ "max_size = 4096", "max_size = 4294967297",
	    "liaison.conf:10: the number 4294967297 has more than 9 digits" },
	{ "max_size = 4096", "max_size = [ 1 ]", "peer dui: max_size is an array [ ]; meant is a size" },
	{ "max_size = 4096", "max_connections = 0", "peer dui: max_connections must be from 1 to 10000" },
	{ "max_size = 4096", "max_connections = \"5\"",
	    "peer dui: max_connections is a text; meant is a number" },
	{ "max_size = 4096", "processing = [ ]", "peer dui: processing is empty" },
	{ "max_size = 4096", "processing = [ \"X\" ]", "peer dui: processing has no \"X\"" },
	{ "\"127.0.0.1\"", "\"localhost\"",
	    "liaison.conf:12: listener: address = \"localhost\" is not an address in digits" },
	{ "port = 2575", "port = 70000", "listener: port is not a port from 0 to 65535" },
	{ "port = 2575", "port = 9575",
	    "liaison.conf:12: listener mllp: port 9575 of 127.0.0.1 is the admin port" },
	{ "port = 2575; }",
	    "port = 2575; }, { name = \"b\"; protocol = \"https\"; address = \"0.0.0.0\"; port = 2575; }",
	    "liaison.conf:12: listener b: port 2575 of 0.0.0.0 is taken by the listener at " },
	{ "\"mllp\"; address", "\"mlp\"; address",
	    "listener: protocol = \"mlp\" is unknown; meant is \"mllp\" or \"https\"" },
	{ "readers = [ \"dui\" ]", "readers = [ \"lis\" ]",
	    "inbox: peer lis may not read; add \"read\" to its may" },
	{ "readers = [ \"dui\" ]", "readers = [ \"dui\", \"dui\" ]", "inbox: reader \"dui\" is there twice" },
	{ "establishment = \"ehpad\"; readers", "establishment = \"chu\"; readers",
	    "inbox: peer dui belongs to a test establishment and cannot read an inbox of a production one" },
	{ "\"2h\"", "\"2\"", "inbox: max_age = \"2\" is not a time with its unit" },
	{ "\"2h\"", "7", "inbox: max_age is not a time with its unit" },
	{ "\"5%\"", "\"500%\"", "inbox: max_size = \"500%\" is not a share such as \"20%\"" },
	{ "peer = \"l*\"", "peer = \"lit\"",
	    "liaison.conf:14: route: there is no peer \"lit\"; did you mean \"lis\"?" },
	{ "type = \"ORU\"", "type = \"ORU^R01\"", "route: type \"ORU^R01\" holds an event" },
	{ "mode = \"test\"; }; to", "mode = \"debug\"; }; to", "route: mode \"debug\" is unknown" },
	{ "to = [ \"box\" ]; go_on", "to = [ \"bax\" ]; go_on",
	    "route: there is no inbox \"bax\"; did you mean \"box\"?" },
	{ "to = [ \"box\" ]; go_on", "to = [ ]; go_on", "route: to is missing or empty" },
	{ "to = [ \"box\" ]; go_on", "to = [ \"box\", \"box\" ]; go_on", "route: \"box\" is there twice" },
	{ "when = { peer = \"l*\"; type = \"ORU\"; mode = \"test\"; }; to = [ \"box\" ]; go_on = true;",
	    "to = [ \"box\" ];", "liaison.conf:15: route: never reached, the route at " },
	{ "go_on = true", "go_on = 1", "route: go_on is a number; meant is true or false" },
	{ "routes =", "destinations = ( { name = \"dmp\"; } );\nroutes =",
	    "liaison.conf:14: destinations: this version dials nobody; an inbox, which waits to be read" },
	{ "routes =", "admin = { address = \"192.0.2.1\"; };\nroutes =",
	    "liaison.conf:14: admin: address = \"192.0.2.1\" is not on the loopback" },
	{ "routes =", "limits = { stop = \"10s\"; };\nroutes =",
	    "liaison.conf:14: limits: stop must be from \"100ms\" to \"9s\"" },
	{ "routes =", "journal = { retention = \"10s\"; };\nroutes =",
	    "journal: retention must be from \"1m\" to \"36500d\"" },
	{ "routes =", "journal = 5;\nroutes =",
	    "liaison.conf:14: journal is a number; meant is a group { }" },
	{ "routes =", "@include \"x\"\nroutes =",
	    "liaison.conf:14: @include is not taken; put the file into conf.d/" },
	{ "routes = (", "routes = ( 7,", "liaison.conf:14: route is a number; meant is a group { }" },
	{ "routes = (", "routes = [", "liaison.conf:14: syntax error" },
	{ "inboxes = (", "inboxes = ( ( ) ,", "liaison.conf:13: inbox is a list ( ); meant is a group { }" },
};

static void
test_mistakes(void **state)
{
	struct config *c;

	(void)state;
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		write_changed(mistakes[i].from, mistakes[i].to);
		if (load(&c) != CONFIG_INVALID)
			fail_msg("taken: %s", mistakes[i].to);
		assert_null(c);
		assert_error(mistakes[i].told);
		assert_int_equal(strncmp((char *)errors.data, dir, strlen(dir)), 0);
	}
}

/* Numbers past 9 digits, @ and NUL are looked for where libconfig would read them, not in comments and texts. */
static void
test_scan(void **state)
{
	struct config *c;
	FILE *f;

	(void)state;
	write_changed(
	    "routes =", "# 12345678901 @include \"x\"\n// 12345678901\n/* 12345678901 @ \n */ routes =");
	assert_int_equal(load(&c), 0);
	config_release(c);
	write_changed("\"l*\"", "\"l*\" \"\" /* \" */");
	assert_int_equal(load(&c), 0);
	config_release(c);
	write_file(path, good);
	f = fopen(path, "a");
	assert_non_null(f);
	assert_int_equal(fwrite("\0", 1, 1, f), 1);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(load(&c), -EILSEQ);
	assert_error("liaison.conf: cannot be read: holds a NUL byte");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(load(&c), -ENOENT);
	assert_error("liaison.conf: cannot be read: No such file or directory");
}

/* Not only the first error is told, and none twice. */
static void
test_all_errors(void **state)
{
	struct config *c;

	(void)state;
	write_file(path,
	    "state = 5;\nbogus = 1;\nlog = { level = \"loud\"; };\n"
	    "peers = ( { name = \"a\"; establishment = \"x\"; may = [ \"fly\" ]; certificates = ( ); } );\n"
	    "routes = ( { name = \"r\"; to = [ \"nowhere\" ]; } );\n");
	assert_int_equal(load(&c), CONFIG_INVALID);
	assert_error(":1: top: state is a number; meant is a path in quotes");
	assert_error(":2: \"bogus\" is no setting\n");
	assert_error(":3: log: level = \"loud\" is unknown");
	assert_error(":4: peer a: there is no establishment \"x\"\n");
	assert_error(":4: peer a: may has no \"fly\"");
	assert_error(":4: peer a: certificates is missing or no list");
	assert_error(":5: route: there is no inbox \"nowhere\"\n");
	assert_error(":1: tls: certificate is missing");
	assert_error(":1: tls: key is missing");
	assert_error(":1: tls: authorities is missing");
	assert_error(":1: listeners is missing or empty");
	assert_int_equal(count_errors(), 11);
}

static void
test_conf_d(void **state)
{
	struct config *c;
	char ignored[128];

	(void)state;
	write_file(path, good);
	assert_int_equal(mkdir(conf_d, 0700), 0);
	(void)snprintf(ignored, sizeof(ignored), "%s/.hidden.conf", conf_d);
	write_file(ignored, "nonsense");
	write_file(extra, "log = { file = \"here.log\"; };\n"
			  "inboxes = ( { name = \"second\"; establishment = \"chu\"; readers = [ ]; } );\n");
	assert_int_equal(load(&c), 0);
	assert_int_equal(c->destination_count, 2);
	assert_string_equal(c->destinations[1].name, "second");
	assert_int_equal(c->destinations[1].index, 1);
	assert_string_equal(strrchr(c->log_file, '/'), "/here.log");
	assert_int_equal(strncmp(c->log_file, conf_d, strlen(conf_d)), 0);
	config_release(c);
	write_file(extra, "tls = { certificate = \"x\"; key = \"x\"; authorities = \"x\"; };\n"
			  "inboxes = ( { name = \"box\"; establishment = \"chu\"; readers = [ ]; } );\n");
	assert_int_equal(load(&c), CONFIG_INVALID);
	assert_error("conf.d/10-more.conf:1: tls is already set at ");
	assert_error("conf.d/10-more.conf:2: inbox box is already defined at ");
	assert_error("liaison.conf:13\n");
	assert_int_equal(count_errors(), 2);
	/* both files' errors of form, and no others */
	write_changed("routes", "routes routes");
	write_file(extra, "\n\nx = = 1;\n");
	assert_int_equal(load(&c), CONFIG_INVALID);
	assert_error("liaison.conf:14: syntax error");
	assert_error("10-more.conf:3: syntax error");
	assert_int_equal(count_errors(), 2);
	assert_int_equal(unlink(ignored), 0);
	assert_int_equal(unlink(extra), 0);
	assert_int_equal(rmdir(conf_d), 0);
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
		assert_int_equal(x->restamped_count, y->restamped_count);
		assert_int_equal(x->type_count, y->type_count);
	}
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
	write_file(path, text);
	if (load(&plain) != 0)
		fail_msg("%s", (char *)errors.data);
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
	write_file(path, text);
	free(text);
	if (load(&open) != 0)
		fail_msg("%s", (char *)errors.data);
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
			write_changed("name = \"dui\"", "nome = \"lis\"; bogus = 1");
		else
			write_file(path, good);
		for (; !done; n++) {
			struct config *c = (struct config *)1;
			struct buffer told;
			int rc;

			buffer_init(&told, 1 << 20);
			failmalloc_at(n);
			rc = config_load(path, &c, &told);
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
	(void)snprintf(key, sizeof(key), "%s/k.pem", dir);
	(void)snprintf(certificate, sizeof(certificate), "%s/c.pem", dir);
	(void)snprintf(text, sizeof(text),
	    "state = \"state\";\ncontrol = { socket = \"sock\"; group = \"no-such-group\"; };\nlog = { file "
	    "= "
	    "\"nowhere/log\"; };\nroutes =");
	write_changed("routes =", text);
	write_file(key, "key");
	write_file(certificate, "certificate");
	assert_int_equal(chmod(key, 0640), 0);
	assert_int_equal(load(&c), 0);
	assert_int_equal(config_check_files(c, &errors), CONFIG_INVALID);
	buffer_append_byte(&errors, 0);
	errors.data[0] = ' '; /* the NUL that load() put */
	assert_error("k.pem: tls.key: others than its owner may read it; meant is mode 0600");
	assert_error("/ca.pem: tls.authorities: No such file or directory\n");
	assert_error("/nowhere: log.file: its directory: No such file or directory\n");
	assert_error("control.group: there is no group \"no-such-group\"");
	assert_int_equal(count_errors(), 4);
	config_release(c);

	(void)snprintf(text, sizeof(text),
	    "%s\nstate = \"state\"; control = { socket = \"sock\"; group = \"\"; };", good);
	memcpy(strstr(text, "/ca.pem"), "./c.pem", 7);
	write_file(path, text);
	assert_int_equal(chmod(key, 0600), 0);
	assert_int_equal(load(&c), 0);
	assert_null(c->socket_group);
	if (config_check_files(c, &errors) != 0)
		fail_msg("%s", (char *)errors.data + 1);
	config_release(c);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(unlink(certificate), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_all_errors),
		cmocka_unit_test(test_conf_d),
		cmocka_unit_test(test_sample),
		cmocka_unit_test(test_nth_allocation),
		cmocka_unit_test(test_check_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
