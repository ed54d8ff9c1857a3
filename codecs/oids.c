/* SPDX-License-Identifier: Apache-2.0 */
/* The OID table: see the header. */
#include "codecs/oids.h"

#define OID_MAX 128

static const struct oid_entry entries[] = {
	{ "1.2.250.1.213.1.4.8", "INS-NIR", "INS whose matricule is a NIR", OID_INS, OID_PRODUCTION,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.9", "INS-NIA", "INS whose matricule is a NIA", OID_INS, OID_PRODUCTION,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.10", "INS-NIR-TEST", "INS for tests", OID_INS, OID_TEST, CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.11", "INS-NIR-DEMO", "INS for demonstrations", OID_INS, OID_TEST,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.2", "INS-C", "calculated INS, no longer in use", OID_PATIENT, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.13", "NSS-NIR", "social security number, NIR", OID_PATIENT, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.4.14", "NSS-NIA", "social security number, NIA", OID_PATIENT, OID_ANY,
	    CERTAINTY_SOURCED },

	{ "1.2.250.1.71.4.2.1", "ASIP-SANTE-PS", "professionals, national identifier", OID_PROFESSIONAL,
	    OID_ANY, CERTAINTY_SOURCED },
	{ "1.2.250.1.71.1.2.15", "TRE_G08", "kinds of professionals' identifiers", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.71.4.2.2", "ASIP-SANTE-ST", "structures, national identifier", OID_STRUCTURE, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.71.1.2.14", "TRE_G07", "kinds of structures' identifiers", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_SOURCED },

	{ "1.2.250.1.71.4.2.4", "sector", "sectors of activity", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.1.4.1", "classCode", "classes of documents", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_PUBLIC_CODE },
	{ "1.2.250.1.213.1.1.4.6", "author-system", "systems as authors (LOGICIEL_DUI)", OID_CODE_SYSTEM,
	    OID_ANY, CERTAINTY_PUBLIC_CODE },
	{ "1.2.250.1.213.1.1.4.9", "practice", "practice settings", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_PUBLIC_CODE },
	{ "1.2.250.1.213.1.1.4.12", "TRE_A05", "types of documents", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_PUBLIC_CODE },
	{ "1.2.250.1.213.1.1.4.13", "masking", "masking of documents", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.1.4.248", "VIHF", "modes of access in a VIHF", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_PUBLIC_CODE },
	{ "1.2.250.1.213.2.2", "TRE_R209", "contentTypeCode of submission sets", OID_CODE_SYSTEM, OID_ANY,
	    CERTAINTY_PUBLIC_CODE },
	{ "2.16.840.1.113883.5.25", "Confidentiality", "HL7 confidentiality (N, R, V)", OID_CODE_SYSTEM,
	    OID_ANY, CERTAINTY_SOURCED },
	{ "2.16.840.1.113883.6.1", "LOINC", "LOINC", OID_CODE_SYSTEM, OID_ANY, CERTAINTY_BACKGROUND },

	{ "2.16.840.1.113883.1.3", "POCD_HD000040", "typeId of every CDA R2 document", OID_TEMPLATE, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "2.16.840.1.113883.2.8.2.1", "HL7-France", "CDA header of HL7 France", OID_TEMPLATE, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.1.1.1", "CI-SIS", "minimal structure of the CI-SIS", OID_TEMPLATE, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.2.250.1.213.1.1.1.58", "EXPORT_DUI", "transfer of a DUI file", OID_TEMPLATE, OID_ANY,
	    CERTAINTY_SOURCED },
	{ "1.3.6.1.4.1.19376.1.2.20", "XDS-SD", "scanned document in a CDA", OID_TEMPLATE, OID_ANY,
	    CERTAINTY_SOURCED },
};

const struct oid_entry *
oid_entries(size_t *count)
{
	*count = sizeof(entries) / sizeof(entries[0]);
	return entries;
}

const struct oid_entry *
oid_find(struct span oid)
{
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		if (span_eq_str(oid, entries[i].oid))
			return &entries[i];
	return NULL;
}

bool
oid_is_ins(struct span oid)
{
	const struct oid_entry *entry = oid_find(oid);

	return entry && entry->group == OID_INS;
}

bool
oid_valid(struct span s)
{
	size_t arcs = 0, from = 0;

	if (s.len == 0 || s.len > OID_MAX || s.ptr[0] > '2')
		return false;
	for (size_t i = 0; i <= s.len; i++) {
		if (i < s.len && s.ptr[i] >= '0' && s.ptr[i] <= '9')
			continue;
		if (i < s.len && s.ptr[i] != '.')
			return false;
		if (i == from || (s.ptr[from] == '0' && i - from > 1) || (arcs == 0 && i > 1))
			return false;
		arcs++;
		from = i + 1;
	}
	return arcs > 1;
}
