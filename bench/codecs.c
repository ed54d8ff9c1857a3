/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each codec of the hot path costs: the portable twin, what this processor allows, and what else one might take, in one run on one
 * thread. Each figure is the best of several rounds, which take turns. bench/MEASURES.md defines them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#ifdef BENCH_ZLIB
#include <zlib.h>
#endif

#include "codecs/arena.h"
#include "codecs/base64.h"
#include "codecs/cpu.h"
#include "codecs/digest.h"
#include "codecs/hl7_check.h"
#include "codecs/mllp.h"
#include "codecs/scan.h"
#include "codecs/utf8.h"

#define ROUNDS	 7
#define DOCUMENT ((size_t)100 << 10)
#define BASE64	 (DOCUMENT / 3 * 4)

/* An admission as French hospitals send them: 8 segments, every delimiter in use. Invented. */
static const char admission[] =
    "MSH|^~\\&|GAM|CHU-DEMO|LIAISON|PFI|20261121120000+0100||ADT^A01^ADT_A01|AAAAAAAA000000000001|T|2.5^FRA^"
    "2.11|||||"
    "FRA|8859/15|FR|||2.11^IHE_FRANCE-2.11-PAM\r"
    "EVN||20261121120000+0100|||MED^LILAS^ROSE^^^^^^CHU-DEMO&1.2.250.1.999.1&ISO^L^^^EI|20261121115500+0100|"
    "CHU-DEMO\r"
    "PID|1||100000001^^^CHU-DEMO&1.2.250.1.999.1&ISO^PI~100000002^^^CHU-DEMO&1.2.250.1.999.2&ISO^PI||"
    "LILAS^ROSE^ROSE MARIE^^MME^^L~LILAS^ROSE^^^^^D||19410703|F|||1 RUE DES "
    "ESSAIS^^BOURG^^01000^FRA^H~^^BOURG^^^FRA^BDL||"
    "^PRN^PH~^NET^Internet^rose@exemple.invalid|||M||100000001-1^^^CHU-DEMO&1.2.250.1.999.1&ISO^AN|||||BOURG|"
    "N||FRA\r"
    "PD1||||10000000001^TREFLE^PAUL^^^DR^^^CHU-DEMO&1.2.250.1.999.3&ISO^L\r"
    "NK1|1|LILAS^JEAN^^^M^^L|SPO^Conjoint|1 RUE DES ESSAIS^^BOURG^^01000^FRA|||||||||||M\r"
    "PV1|1|I|MED^101^2^CHU-DEMO^^^^^CARDIO|R|||10000000001^TREFLE^PAUL^^^DR^^^CHU-DEMO&1.2.250.1.999.3&ISO^L|"
    "||181||||8|||"
    "10000000001^TREFLE^PAUL||VN1^^^CHU-DEMO&1.2.250.1.999.1&ISO^VN|||||||||||||||||||||||||20261121120000+"
    "0100\r"
    "PV2||||||||||||||||||||||N\r"
    "ZBE|1234^CHU-DEMO^1.2.250.1.999.1^ISO|20261121120000+0100||INSERT|N||UM^^^^^^^^^001|||HMS\r";

static struct {
	struct span message, frame, document, text, latin;
	struct arena arena;
	struct buffer out;
	struct sha256 sha256;
	uint8_t *room;
} in;

static volatile size_t sink; /* so that nothing is computed in vain */

static void
impossible(const char *what)
{
	fprintf(stderr, "codecs: %s\n", what);
	exit(1);
}

/*
 * The works: each once
 */

/* As content does: parse, check, MSH-10, the authorities of PID-3. */
static void
work_hl7(void)
{
	struct span rest, repetition;
	struct hl7_message m;
	struct fault f;
	size_t pid;

	arena_reset(&in.arena);
	if (hl7_check(&m, in.message, NULL, &in.arena, &f) != HL7_OK)
		impossible(f.message);
	pid = hl7_find(&m, "PID", 1);
	rest = hl7_field_all(&m, pid, 3);
	while (hl7_next(&rest, m.delimiters.repetition, &repetition)) {
		struct span authority = hl7_component(&m.delimiters, repetition, 4);

		sink += hl7_subcomponent(&m.delimiters, authority, 1).len +
			hl7_subcomponent(&m.delimiters, authority, 2).len;
	}
	sink += m.header.field[10].len;
}

static void
work_index(void)
{
	uint32_t places[1024];
	size_t seen;

	sink += scan_index(in.message.ptr, in.message.len, '|', '^', places, 1024, &seen);
}

static void
work_segments(void)
{
	uint32_t places[64];
	size_t seen;

	sink += scan_index(in.message.ptr, in.message.len, '\r', '\r', places, 64, &seen);
}

static void
work_mllp(void)
{
	sink += scan_either(in.frame.ptr, in.frame.len, MLLP_VT, MLLP_FS);
}

static void
work_base64(void)
{
	buffer_reset(&in.out);
	if (base64_decode(in.text, 0, &in.out, NULL) != BASE64_OK)
		impossible("base64 was refused");
}

static void
work_crc32c(void)
{
	sink += digest_crc32c(1, in.message);
}

static void
work_crc32c_document(void)
{
	sink += digest_crc32c(1, in.document);
}

static void
work_ascii(void)
{
	sink += utf8_valid(in.message, NULL);
}

static void
work_utf8(void)
{
	sink += utf8_valid(in.latin, NULL);
}

static void
work_sha256(void)
{
	uint8_t out[DIGEST_SHA256_LEN];

	sink += (size_t)sha256_of(&in.sha256, in.message, out);
}

/*
 * What else one might take
 */

static void
peer_memchr(void)
{
	const uint8_t *p = in.message.ptr, *end = p + in.message.len;

	while ((p = memchr(p, '|', (size_t)(end - p))) != NULL) {
		sink++;
		p++;
	}
}

static void
peer_memchr_segments(void)
{
	const uint8_t *p = in.message.ptr, *end = p + in.message.len;

	while (p < end && (p = memchr(p, '\r', (size_t)(end - p))) != NULL) {
		sink++;
		p++;
	}
}

static void
peer_memchr_frame(void)
{
	const uint8_t *p = in.frame.ptr;

	sink += (size_t)((const uint8_t *)memchr(p, MLLP_FS, in.frame.len) - p);
	sink += memchr(p, MLLP_VT, in.frame.len) != NULL;
}

static void
peer_decode_block(void)
{
	if (EVP_DecodeBlock(in.room, in.text.ptr, (int)in.text.len) < 0)
		impossible("EVP_DecodeBlock refused");
}

static void
peer_sha256(void)
{
	uint8_t out[DIGEST_SHA256_LEN];

	sink += (size_t)digest_sha256(in.message, out);
}

#ifdef BENCH_ZLIB
static void
peer_zlib(void)
{
	sink += crc32(1, in.message.ptr, (uInt)in.message.len);
}

static void
peer_zlib_document(void)
{
	sink += crc32(1, in.document.ptr, (uInt)in.document.len);
}
#else
#define peer_zlib	   NULL
#define peer_zlib_document NULL
#endif

static const struct work {
	const char *name;
	const struct span *bytes;
	void (*run)(void);
	const char *peer_name;
	void (*peer)(void);
} works[] = {
	{ "hl7: index, MSH, check, PID-3", &in.message, work_hl7, "", NULL },
	{ "hl7: every | and ^", &in.message, work_index, "memchr for | alone", peer_memchr },
	{ "hl7: segments", &in.message, work_segments, "memchr for CR", peer_memchr_segments },
	{ "mllp: end of frame", &in.frame, work_mllp, "memchr, twice", peer_memchr_frame },
	{ "base64: decode 133 KB", &in.text, work_base64, "EVP_DecodeBlock", peer_decode_block },
	{ "crc32c: message", &in.message, work_crc32c, "zlib crc32", peer_zlib },
	{ "crc32c: 100 KB", &in.document, work_crc32c_document, "zlib crc32", peer_zlib_document },
	{ "utf8: ASCII message", &in.message, work_ascii, "", NULL },
	{ "utf8: French, 100 KB", &in.latin, work_utf8, "", NULL },
	{ "sha256: message", &in.message, work_sha256, "without a kept context", peer_sha256 },
};

#define WORKS (sizeof(works) / sizeof(works[0]))

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Nanoseconds for one ${run}, over about ${seconds}. */
static double
measure(void (*run)(void), double seconds)
{
	double since = now(), taken;
	size_t n = 0;

	do {
		for (int i = 0; i < 16; i++)
			run();
		n += 16;
		taken = now() - since;
	} while (taken < seconds);
	return taken * 1e9 / (double)n;
}

static void
make_inputs(void)
{
	static const char french[] =
	    "Compte rendu d'hospitalisation : la patiente, \xc3\xa2g\xc3\xa9\x65 de 85 ans, a "
	    "\xc3\xa9t\xc3\xa9 admise le 21 novembre pour une chute. ";
	struct buffer text;
	uint8_t *document = malloc(DOCUMENT), *latin = malloc(DOCUMENT), *frame = malloc(sizeof(admission));

	in.room = malloc(BASE64);
	if (!document || !latin || !frame || !in.room || sha256_init(&in.sha256))
		impossible("no memory");
	for (size_t i = 0; i < DOCUMENT; i++)
		document[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t at = 0; at < DOCUMENT; at++)
		latin[at] = (uint8_t)french[at % (sizeof(french) - 1)];
	memcpy(frame, admission, sizeof(admission) - 1);
	frame[sizeof(admission) - 1] = MLLP_FS;
	in.message = span_make(admission, sizeof(admission) - 1);
	in.frame = span_make(frame, sizeof(admission));
	in.document = span_make(document, DOCUMENT);
	in.latin = span_make(latin, DOCUMENT - DOCUMENT % (sizeof(french) - 1));
	buffer_init(&text, 2 * BASE64);
	base64_encode(span_cut(in.document, 0, DOCUMENT / 3 * 3), &text);
	in.text = buffer_span(&text);
	buffer_init(&in.out, 2 * DOCUMENT);
	arena_init(&in.arena, 1 << 20);
}

static void
show(double ns, size_t bytes)
{
	if (ns > 0)
		printf(" %9.1f %6.2f", ns, (double)bytes / ns);
	else
		printf(" %9s %6s", "-", "-");
}

int
main(int argc, char **argv)
{
	double best[WORKS][3] = { { 0 } }, seconds = argc == 3 ? atof(argv[2]) : 0.02;

	if (argc != 1 && (argc != 3 || strcmp(argv[1], "--seconds") != 0 || seconds <= 0)) {
		fprintf(stderr, "Usage: codecs [--seconds N]   (of each figure in each of %d rounds; 0.02)\n",
		    ROUNDS);
		return 2;
	}
	make_inputs();
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < WORKS; i++) {
			void (*const runs[3])(void) = { works[i].run, works[i].run, works[i].peer };

			for (int kind = 0; kind < 3; kind++) {
				double ns;

				(void)cpu_allow(kind == 0 ? 0 : ~0u);
				ns = runs[kind] ? measure(runs[kind], seconds) : 0;
				if (best[i][kind] <= 0 || ns < best[i][kind])
					best[i][kind] = ns;
			}
		}
	printf("%-30s %7s %16s %16s %16s\n", "", "bytes", "portable", "processor's", "instead");
	printf("%-30s %7s %9s %6s %9s %6s %9s %6s\n", "", "", "ns", "GB/s", "ns", "GB/s", "ns", "GB/s");
	for (size_t i = 0; i < WORKS; i++) {
		printf("%-30s %7zu", works[i].name, works[i].bytes->len);
		for (int kind = 0; kind < 3; kind++)
			show(best[i][kind], works[i].bytes->len);
		printf("  %s\n", works[i].peer ? works[i].peer_name : "");
	}
	return 0;
}
