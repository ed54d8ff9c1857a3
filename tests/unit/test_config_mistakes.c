/* SPDX-License-Identifier: Apache-2.0 */
/* Every mistake is told with its place and what was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/unit/config_rig.h"

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
	    "route: there is no inbox or destination \"bax\"; did you mean \"box\"?" },
	{ "to = [ \"box\" ]; go_on", "to = [ ]; go_on", "route: to is missing or empty" },
	{ "to = [ \"box\" ]; go_on", "to = [ \"box\", \"box\" ]; go_on", "route: \"box\" is there twice" },
	{ "when = { peer = \"l*\"; type = \"ORU\"; mode = \"test\"; }; to = [ \"box\" ]; go_on = true;",
	    "to = [ \"box\" ];", "liaison.conf:15: route: never reached, the route at " },
	{ "go_on = true", "go_on = 1", "route: go_on is a number; meant is true or false" },
	{ "routes =",
	    "destinations = ( { name = \"box\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; } );\nroutes =",
	    "liaison.conf:14: destination box: an inbox has that name at " },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h\"; } );\nroutes =",
	    "liaison.conf:14: destination dmp: address = \"h\" is not \"host:port\"; meant is such as" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:0\"; } );\nroutes =",
	    "destination dmp: address = \"h:0\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:65536\"; } );\nroutes =",
	    "destination dmp: address = \"h:65536\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"::1:2575\"; } );\nroutes =",
	    "destination dmp: address = \"::1:2575\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"[h]:2575\"; } );\nroutes =",
	    "destination dmp: address = \"[h]:2575\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"192.0.2.300:25\"; } );\nroutes =",
	    "destination dmp: address = \"192.0.2.300:25\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"-h.example:25\"; } );\nroutes =",
	    "destination dmp: address = \"-h.example:25\" is not" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\";  } "
	    ");\nroutes =",
	    "liaison.conf:14: destination dmp: address is missing" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; server_name = \"a_b\"; } );\nroutes =",
	    "destination dmp: server_name = \"a_b\" is not the name of a host, or an address in digits" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; window = 0; } );\nroutes =",
	    "destination dmp: window must be from 1 to 256" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; connect = \"6m\"; } );\nroutes =",
	    "destination dmp: connect must be from \"100ms\" to \"5m\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; acknowledgement = \"2h\"; } );\nroutes =",
	    "destination dmp: acknowledgement must be from \"100ms\" to \"1h\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; retry_first = \"1ms\"; } );\nroutes =",
	    "destination dmp: retry_first must be from \"10ms\" to \"1h\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; retry_longest = \"2d\"; } );\nroutes =",
	    "destination dmp: retry_longest must be from \"10ms\" to \"1d\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; retry_first = \"10m\"; } );\nroutes =",
	    "destination dmp: retry_longest is shorter than retry_first" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; readers = [ ]; } );\nroutes =",
	    "destination dmp: \"readers\" is no setting" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; max_age = \"1s\"; } );\nroutes =",
	    "destination dmp: max_age must be from \"1m\" to \"3650d\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpat\"; address = "
	    "\"h:1\"; } );\nroutes =",
	    "destination dmp: there is no establishment \"ehpat\"; did you mean \"ehpad\"?" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"fhir\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; } );\nroutes =",
	    "destination dmp: protocol = \"fhir\" is unknown; meant is \"mllp\"" },
	{ "routes =",
	    "destinations = ( { name = \"dmp\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = "
	    "\"h:1\"; }, { name = \"dmp\"; protocol = \"mllp\"; establishment = \"chu\"; address = \"h:2\"; "
	    "} );\nroutes =",
	    "destination dmp is already defined at " },
	{ "port = 2575", "port = 2575; plain = \"nobody\"",
	    "liaison.conf:12: listener mllp: there is no peer \"nobody\"" },
	{ "port = 2575", "port = 2575; plain = \"lis\"; max_connections = 0",
	    "listener: max_connections must be from" },
	{ "\"127.0.0.1\"; port = 2575", "\"0.0.0.0\"; port = 2575; plain = \"lis\"",
	    "listener mllp: plain at address \"0.0.0.0\", which is not on the loopback" },
	{ "\"mllp\"; address", "\"https\"; plain = \"lis\"; address",
	    "listener mllp: plain is for protocol \"mllp\"" },
	{ "may = [ \"send\" ];", "may = [ \"read\" ]; silent_after = 5;",
	    "peer lis: silent_after is not a time with its unit" },
	{ "may = [ \"send\" ];", "may = [ \"send\" ]; silent_after = \"500ms\";",
	    "peer lis: silent_after = \"500ms\" is not a time with its unit" },
	{ "revocation = \"unchecked\"; ", "",
	    "liaison.conf:1: tls: crls is missing, and establishment chu is in production" },
	{ "\"unchecked\"", "\"off\"",
	    "liaison.conf:1: tls: revocation = \"off\" is unknown; meant is \"checked\" or \"unchecked\"" },
	{ "revocation =", "crls = \"crl.pem\"; revocation =",
	    "liaison.conf:1: tls: revocation = \"unchecked\" stands beside crls; meant is one of them" },
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
		conf_write_changed(mistakes[i].from, mistakes[i].to);
		if (conf_load(&c) != CONFIG_INVALID)
			fail_msg("taken: %s", mistakes[i].to);
		assert_null(c);
		conf_assert_error(mistakes[i].told);
		assert_int_equal(strncmp((char *)conf_errors.data, conf_dir, strlen(conf_dir)), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, conf_setup, conf_teardown);
}
