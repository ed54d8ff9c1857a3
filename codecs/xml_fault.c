/* SPDX-License-Identifier: Apache-2.0 */
#include "codecs/xml_fault.h"

#include <stdio.h>

#include <libxml/xmlerror.h>

static const struct {
	const char *name, *sentence;
	enum fault_code code;
} verdicts[] = {
	[XML_WELL_FORMED] = { "well-formed", "", FAULT_NONE },
	[XML_MALFORMED] = { "malformed", "It is not well-formed XML.", FAULT_DATA_TYPE },
	[XML_BAD_NAMESPACE] = { "bad-namespace", "A namespace prefix is not declared, or wrongly.",
	    FAULT_DATA_TYPE },
	[XML_BAD_ENCODING] = { "bad-encoding", "It holds bytes that are no characters of its set.",
	    FAULT_DATA_TYPE },
	[XML_UNREAD_ENCODING] = { "unread-encoding", "It is in a character set that is not read.",
	    FAULT_DATA_TYPE },
	[XML_HAS_DOCTYPE] = { "doctype",
	    "It has a document type declaration, which no CDA needs: none is read.", FAULT_DATA_TYPE },
	[XML_TOO_LONG] = { "too-long", "A tag, comment, instruction or CDATA section is longer than 1 MiB.",
	    FAULT_DATA_TYPE },
	[XML_TOO_MANY] = { "too-many-attributes", "A tag has more than 256 attributes.", FAULT_DATA_TYPE },
	[XML_TOO_DEEP] = { "too-deep", "Its elements are more than 256 deep.", FAULT_DATA_TYPE },
	[XML_TOO_VARIED] = { "too-many-names", "It has more than 32,768 distinct names, or 2 MiB of them.",
	    FAULT_DATA_TYPE },
	[XML_NO_MEMORY] = { "no-memory", "It needs more memory than there is for reading it.", FAULT_MEMORY },
};

static const struct {
	int code;
	const char *sentence;
} sentences[] = {
	{ XML_ERR_DOCUMENT_EMPTY, "It is empty, or does not begin with a tag." },
	{ XML_ERR_DOCUMENT_START, "It is empty, or does not begin with a tag." },
	{ XML_ERR_DOCUMENT_END, "It ends too early, or something follows its end." },
	{ XML_ERR_TAG_NOT_FINISHED, "It ends inside an element." },
	{ XML_ERR_TAG_NAME_MISMATCH, "An end tag does not match its start tag." },
	{ XML_ERR_GT_REQUIRED, "A tag has no end." },
	{ XML_ERR_LTSLASH_REQUIRED, "An element has no end tag." },
	{ XML_ERR_NAME_REQUIRED, "A name is missing or is none." },
	{ XML_ERR_SPACE_REQUIRED, "A blank is missing between attributes." },
	{ XML_ERR_EQUAL_REQUIRED, "An attribute has no '='." },
	{ XML_ERR_ATTRIBUTE_NOT_STARTED, "The value of an attribute is not in quotes." },
	{ XML_ERR_ATTRIBUTE_NOT_FINISHED, "The value of an attribute has no end." },
	{ XML_ERR_ATTRIBUTE_WITHOUT_VALUE, "An attribute has no value." },
	{ XML_ERR_ATTRIBUTE_REDEFINED, "A tag has the same attribute twice." },
	{ XML_ERR_LT_IN_ATTRIBUTE, "'<' stands in the value of an attribute." },
	{ XML_ERR_INVALID_CHAR, "It holds a character that XML does not allow." },
	{ XML_ERR_INVALID_CHARREF, "A character reference is of no character." },
	{ XML_ERR_INVALID_HEX_CHARREF, "A character reference is of no character." },
	{ XML_ERR_INVALID_DEC_CHARREF, "A character reference is of no character." },
	{ XML_ERR_UNDECLARED_ENTITY, "It refers to an entity that is not declared." },
	{ XML_WAR_UNDECLARED_ENTITY, "It refers to an entity that is not declared." },
	{ XML_ERR_ENTITYREF_SEMICOL_MISSING, "'&' begins no reference." },
	{ XML_ERR_COMMENT_NOT_FINISHED, "A comment has no end." },
	{ XML_ERR_HYPHEN_IN_COMMENT, "'--' stands in a comment." },
	{ XML_ERR_PI_NOT_FINISHED, "A processing instruction has no end." },
	{ XML_ERR_RESERVED_XML_NAME, "An XML declaration stands elsewhere than at the begin." },
	{ XML_ERR_CDATA_NOT_FINISHED, "A CDATA section has no end." },
	{ XML_ERR_MISPLACED_CDATA_END, "']]>' stands outside a CDATA section." },
	{ XML_ERR_XMLDECL_NOT_FINISHED, "Its XML declaration has no end." },
	{ XML_ERR_XMLDECL_NOT_STARTED, "Its XML declaration is wrong." },
	{ XML_ERR_VERSION_MISSING, "Its XML declaration names no version." },
	{ XML_ERR_UNKNOWN_VERSION, "Its XML version is not 1.x." },
	{ XML_NS_ERR_UNDEFINED_NAMESPACE, "A namespace prefix is not declared." },
};

enum xml_verdict
xml_fault_verdict(const struct _xmlError *error)
{
	switch (error->code) {
	case XML_ERR_NO_MEMORY:
		return XML_NO_MEMORY;
	case XML_ERR_INVALID_ENCODING:
	case XML_ERR_UNKNOWN_ENCODING:
	case XML_ERR_UNSUPPORTED_ENCODING:
		return XML_BAD_ENCODING;
	default:
		return error->domain == XML_FROM_NAMESPACE ? XML_BAD_NAMESPACE : XML_MALFORMED;
	}
}

const char *
xml_fault_sentence(int code)
{
	for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
		if (sentences[i].code == code)
			return sentences[i].sentence;
	return NULL;
}

enum xml_verdict
xml_fault_of_scan(enum xml_scan_outcome outcome)
{
	switch (outcome) {
	case XML_SCAN_OK:
		return XML_WELL_FORMED;
	case XML_SCAN_DOCTYPE:
		return XML_HAS_DOCTYPE;
	case XML_SCAN_LONG:
		return XML_TOO_LONG;
	case XML_SCAN_ATTRIBUTES:
		return XML_TOO_MANY;
	case XML_SCAN_NUL:
		return XML_MALFORMED;
	}
	return XML_MALFORMED;
}

const char *
xml_verdict_name(enum xml_verdict verdict)
{
	return verdicts[verdict].name;
}

void
xml_fault_set(
    struct fault *f, enum xml_verdict verdict, uint64_t offset, int line, int column, const char *why)
{
	char place[40] = "";

	if (!why)
		why = verdicts[verdict].sentence;
	if (line > 0)
		(void)snprintf(place, sizeof(place), " (line %d, column %d)", line, column);
	else if (offset > 0)
		(void)snprintf(place, sizeof(place), " (byte %llu)", (unsigned long long)offset);
	fault_set(f, verdicts[verdict].code, (size_t)offset, "", "%s%s", why, place);
}
