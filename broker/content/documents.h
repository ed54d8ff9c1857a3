/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of an HL7 v2 message: every OBX-5 of type ED, found and described, neither decoded nor judged (broker/content/well_formed does).
 */
#pragma once

#include <stdbool.h>

#include "broker/core/facts.h"
#include "codecs/arena.h"
#include "codecs/hl7.h"

#define DOCUMENTS_MAX 1024u /* per message; the French volet has at most two and two mail bodies */

/*
 * Fill ${facts}->documents from ${m}: media type from OBX-5.2 and 5.3, type code and title from OBX-3 (from TXA-2 when OBX-3 is empty), unique
 * id from TXA-12. They are also given in ${foundp}, for what is to be learned of them yet. False: no memory, or more than DOCUMENTS_MAX.
 */
bool documents_find(
    const struct hl7_message *m, struct arena *arena, struct facts *facts, struct facts_document **foundp);
