/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libxml2 says is wrong, in words of ours: its own hold names and values of the document, which no log may show.
 */
#pragma once

#include "codecs/xml.h"

struct _xmlError;

/* Which verdict an error of libxml2 is. */
enum xml_verdict xml_fault_verdict(const struct _xmlError *error);

/* A sentence for libxml2's error number ${code}; NULL: the verdict says it all. */
const char *xml_fault_sentence(int code);

enum xml_verdict xml_fault_of_scan(enum xml_scan_outcome outcome);

/* ${line} 0: not known. ${why} NULL: the sentence of the verdict. */
void xml_fault_set(
    struct fault *f, enum xml_verdict verdict, uint64_t offset, int line, int column, const char *why);
