/* SPDX-License-Identifier: Apache-2.0 */
/*
 * National identifiers and the OID table: keys that fit, keys known not to, forms, and every single wrong
 * digit of an INS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codecs/identifiers.h"
#include "codecs/oids.h"

#define OK	  IDENTIFIER_OK
#define FORM	  IDENTIFIER_BAD_FORM
#define KEY	  IDENTIFIER_BAD_KEY
#define UNCHECKED IDENTIFIER_UNCHECKED

static const struct {
	enum identifier_kind kind;
	const char *value;
	enum identifier_outcome outcome;
	enum certainty certainty;
} vectors[] = {
	/* INS: computed keys */
	{ IDENTIFIER_INS, "279035121518989", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "162018885045327", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "146026322000196", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "277076322082910", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "184052A00402608", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "290062B03304579", OK, CERTAINTY_SOURCED },
	/* INS: official sample data with wrong keys, and what they should be */
	{ IDENTIFIER_INS, "223042545611404", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "223042545611482", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "221042545611404", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "221042545611483", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "289057545611404", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "289057545611473", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "276059205062865", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "276059205062883", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "147720425367411", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "147720425367430", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "184052B00402608", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "2790351215189", UNCHECKED, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "27903512151898", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "2790351215189890", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "27707279035121518989", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "279035121518 89", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "184052C00402608", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "184052a00402608", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "184051A00402608", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_INS, "", FORM, CERTAINTY_SOURCED },
	/* SIREN and SIRET */
	{ IDENTIFIER_SIREN, "732829320", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIREN, "356000000", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIREN, "732829321", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIREN, "73282932", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIREN, "73282932O", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "73282932000074", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "73282932000075", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "35600000000048", OK, CERTAINTY_SOURCED }, /* La Poste, head office: Luhn */
	{ IDENTIFIER_SIRET, "35600000000001", OK,
	    CERTAINTY_SOURCED }, /* La Poste, an office: multiple of 5 */
	{ IDENTIFIER_SIRET, "35600000000010", OK, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "35600000000002", KEY, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "MONACOCONFO001", UNCHECKED, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "MONACOCONFO01", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_SIRET, "7328293200007A", FORM, CERTAINTY_SOURCED },
	/* FINESS */
	{ IDENTIFIER_FINESS, "750712184", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "690781810", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "130786049", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "2A0000014", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "2B0000020", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "2A0000020", KEY, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "120456789", KEY, CERTAINTY_BACKGROUND }, /* fictive, in official samples */
	{ IDENTIFIER_FINESS, "000897406", KEY, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "0B0011797", UNCHECKED, CERTAINTY_PUBLIC_CODE },
	{ IDENTIFIER_FINESS, "A10000014", FORM, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "2A000001", FORM, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_FINESS, "2A000001X", FORM, CERTAINTY_BACKGROUND },
	/* RPPS and ADELI: keys are background, and official samples break them */
	{ IDENTIFIER_RPPS, "10000023084", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_RPPS, "01234564895", KEY, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_RPPS, "1000002308", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_RPPS, "810000023084", FORM, CERTAINTY_SOURCED },
	{ IDENTIFIER_ADELI, "732829320", OK, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_ADELI, "732829329", KEY, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_ADELI, "2A2829320", UNCHECKED, CERTAINTY_BACKGROUND },
	{ IDENTIFIER_ADELI, "73282932", FORM, CERTAINTY_BACKGROUND },
};

static void
test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct identifier_check check = identifier_check(vectors[i].kind, span_str(vectors[i].value));

		if (check.outcome != vectors[i].outcome || check.certainty != vectors[i].certainty)
			fail_msg("%s %s: %s, %s", identifier_kind_name(vectors[i].kind), vectors[i].value,
			    identifier_outcome_name(check.outcome), check.rule);
		assert_true(check.rule[0] != '\0');
	}
}

/* 97 is prime: no single wrong digit of an INS goes unseen, wherever it stands. */
static void
test_ins_every_digit(void **state)
{
	char value[] = "279035121518989";

	(void)state;
	for (size_t i = 0; i < 15; i++) {
		char right = value[i];

		for (char c = '0'; c <= '9'; c++) {
			value[i] = c;
			assert_int_equal(
			    identifier_check(IDENTIFIER_INS, span_str(value)).outcome, c == right ? OK : KEY);
		}
		value[i] = right;
	}
}

/* What is out of the common is remarked and refuses nothing. */
static void
test_ins_unusual(void **state)
{
	static const struct {
		const char *body;
		bool unusual;
	} bodies[] = {
		{ "2790351215189", false },
		{ "3790351215189", false }, /* provisional */
		{ "7790351215189", false },
		{ "8790351215189", false },
		{ "5790351215189", true },
		{ "0790351215189", true },
		{ "2790051215189", true },
		{ "2791351215189", true },
		{ "2793151215189", true },
		{ "2799951215189", true },
	};
	char value[16];

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct identifier_check check;

		snprintf(value, sizeof(value), "%s%02u", bodies[i].body,
		    identifier_ins_key(span_str(bodies[i].body)));
		check = identifier_check(IDENTIFIER_INS, span_str(value));
		assert_int_equal(check.outcome, OK);
		assert_int_equal(check.unusual, bodies[i].unusual);
	}
}

static void
test_national(void **state)
{
	struct identifier_national parts;

	(void)state;
	assert_true(identifier_professional(span_str("810000023084"), &parts));
	assert_true(parts.has_kind);
	assert_int_equal(parts.kind, IDENTIFIER_RPPS);
	assert_true(span_eq_str(parts.value, "10000023084"));
	assert_int_equal(identifier_check(parts.kind, parts.value).outcome, OK);
	assert_true(identifier_professional(span_str("3750712184/AB/1"), &parts));
	assert_int_equal(parts.kind, IDENTIFIER_FINESS);
	assert_true(span_eq_str(parts.value, "750712184"));
	assert_true(span_eq_str(parts.local, "AB/1"));
	assert_true(identifier_professional(span_str("10name@mail"), &parts));
	assert_false(parts.has_kind);
	assert_false(identifier_professional(span_str("9123"), &parts));
	assert_false(identifier_professional(span_str("8"), &parts));
	assert_false(identifier_professional(span_str("3/x"), &parts));
	assert_false(identifier_professional(SPAN_EMPTY, &parts));
	assert_true(identifier_structure(span_str("10B0011797/00B1022322"), &parts));
	assert_int_equal(parts.kind, IDENTIFIER_FINESS);
	assert_true(span_eq_str(parts.value, "0B0011797"));
	assert_true(identifier_structure(span_str("373282932000074"), &parts));
	assert_int_equal(identifier_check(parts.kind, parts.value).outcome, OK);
	assert_true(identifier_structure(span_str("40123"), &parts));
	assert_false(parts.has_kind);
	assert_false(identifier_structure(span_str("5123"), &parts));
}

static void
test_oids(void **state)
{
	const struct oid_entry *all, *entry;
	size_t count;

	(void)state;
	all = oid_entries(&count);
	assert_true(count > 20);
	for (size_t i = 0; i < count; i++) {
		assert_true(oid_valid(span_str(all[i].oid)));
		assert_ptr_equal(oid_find(span_str(all[i].oid)), &all[i]); /* none stands twice */
		assert_true(all[i].name[0] && all[i].meaning[0]);
	}
	entry = oid_find(span_str("1.2.250.1.213.1.4.10"));
	assert_int_equal(entry->use, OID_TEST);
	assert_true(
	    oid_is_ins(span_str("1.2.250.1.213.1.4.8")) && oid_is_ins(span_str("1.2.250.1.213.1.4.11")));
	assert_int_equal(oid_find(span_str("1.2.250.1.213.1.4.8"))->use, OID_PRODUCTION);
	assert_false(oid_is_ins(span_str("1.2.250.1.213.1.4.2"))); /* INS-C identifies nobody any more */
	assert_null(oid_find(span_str("1.2.250.1.213.1.4")));
	assert_null(oid_find(SPAN_EMPTY));
}

static void
test_oid_form(void **state)
{
	static const char *const good[] = { "1.2", "0.0", "2.16.840.1.113883", "1.2.250.1.213.1.4.10",
		"2.999" };
	static const char *const bad[] = { "", "1", "1.", ".1", "1..2", "3.1", "10.1", "1.02", "1.2a", "1.2 ",
		"urn:oid:1.2", "1.-2" };
	char longest[131] = "1";

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(oid_valid(span_str(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (oid_valid(span_str(bad[i])))
			fail_msg("%s", bad[i]);
	for (size_t i = 1; i < 129; i++)
		longest[i] = i % 2 ? '.' : '1';
	assert_true(oid_valid(span_make(longest, 127)));
	assert_false(oid_valid(span_make(longest, 129)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_ins_every_digit),
		cmocka_unit_test(test_ins_unusual),
		cmocka_unit_test(test_national),
		cmocka_unit_test(test_oids),
		cmocka_unit_test(test_oid_form),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
