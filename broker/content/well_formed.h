/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The XML documents of a message: is each well-formed, so that whoever reads it after us can?
 *
 * Read are documents in base64 whose media type is XML (text/xml, application/xml, .../...+xml): decoded in pieces that go straight to
 * the parser (codecs/xml), never held whole. What base64 has too little or too much of is passed over as it is when the document
 * is given out. Hexadecimal and plain documents are not read: nobody has been seen to send XML so.
 *
 * What follows is the peer's well_formed. The volet "Transmission d'un document CDA-R2 en HL7 v2" 2.1 says XML in OBX-5.3 and `AE` for errors of
 * syntax, and nothing of a document that is none; its own published messages of level 1 carry a line of plain text as
 * TEXT^XML. So by default such a message is taken and the finding told ("warn"); a peer of whom more is expected is set to "refuse": AE,
 * ERR-3 102 (data type) at OBX-5.5, the technical refusal of the volet, without ERR-5.
 */
#pragma once

#include "broker/base/config.h"
#include "broker/core/facts.h"
#include "codecs/arena.h"
#include "codecs/fault.h"

/* What libxml2 may hold for one document: a token of 1 MiB, copied and grown, and the names. */
#define WELL_FORMED_BUDGET ((size_t)8 << 20)

enum {
	WELL_FORMED_FINDING = 1, /* of one document at least */
};

/* How many bytes of ${documents}, as they stand in the message, are to be read. */
uint64_t well_formed_size(const struct facts_document *documents, size_t count);

/*
 * Read the documents of ${message} and write the form of each. 0; WELL_FORMED_FINDING: ${fault} is that of the first that is faulty; -ENOMEM: the machine
 * has no memory for reading. On any thread; each keeps a reader.
 */
int well_formed_read(struct span message, struct span delimiters, struct facts_document *documents,
    size_t count, struct fault *fault) __attribute__((warn_unused_result));
