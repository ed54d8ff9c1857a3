/* SPDX-License-Identifier: Apache-2.0 */
/* `show --proof` makes the file of a proof; `verify --proof` checks it, on any machine; `verify` checks a whole journal. */
#include "broker/cli/verify.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/cli/control_client.h"
#include "broker/cli/proof.h"
#include "codecs/base64.h"

#define CHUNK ((size_t)64 << 10)

/*
 * Making
 */
struct making {
	struct arena arena;
	struct proof proof;
	bool bad;
};

static bool
take(struct making *making, const json_t *row, const char *key, struct span *bytes)
{
	struct span text = span_str(cli_text(row, key));
	struct buffer decoded;
	bool good;

	buffer_init(&decoded, base64_decoded_size(text.len) + 1);
	good = base64_decode(text, 0, &decoded, NULL) == BASE64_OK;
	*bytes = good ? arena_copy(&making->arena, buffer_span(&decoded)) : SPAN_EMPTY;
	good = good && bytes->len == decoded.len;
	buffer_fini(&decoded);
	return good;
}

/* Exactly ${len} bytes. */
static bool
decode_fixed(const char *text, uint8_t *into, size_t len)
{
	struct buffer decoded;
	bool good;

	buffer_init(&decoded, CHUNK);
	good = base64_decode(span_str(text), 0, &decoded, NULL) == BASE64_OK && decoded.len == len;
	if (good)
		memcpy(into, decoded.data, len);
	buffer_fini(&decoded);
	return good;
}

static bool
take_path(const json_t *path, struct proof_record *record)
{
	bool good = json_array_size(path) <= JOURNAL_PATH;

	record->path_count = good ? json_array_size(path) : 0;
	for (size_t i = 0; good && i < record->path_count; i++)
		good = decode_fixed(
		    json_string_value(json_array_get(path, i)), record->path[i], sizeof record->path[i]);
	return good;
}

/* Which signature it is: one of those there are, or one more. */
static void
signature_note(struct proof *proof, struct proof_record *record, struct span facts)
{
	size_t i = 0;

	while (i < proof->signature_count && !span_eq(proof->signatures[i], facts))
		i++;
	if (i == proof->signature_count)
		proof->signatures[proof->signature_count++] = facts;
	record->signature = i;
}

static int
take_row(void *arg, const json_t *row)
{
	struct making *making = arg;
	struct proof *proof = &making->proof;
	struct proof_record *record = &proof->records[proof->record_count];
	struct span facts;

	if (strcmp(cli_text(row, "kind"), "proof") != 0)
		return 0;
	if (proof->record_count == PROOF_RECORDS)
		return 0;
	record->has_facts = !json_is_null(json_object_get(row, "facts"));
	record->has_decision = !json_is_null(json_object_get(row, "decision"));
	record->index = (uint64_t)cli_integer(row, "index");
	making->bad |= !decode_fixed(cli_text(row, "header"), record->header, sizeof record->header) ||
		       !decode_fixed(cli_text(row, "before"), record->before, sizeof record->before) ||
		       !take(making, row, "facts", &record->facts) ||
		       !take(making, row, "decision", &record->decision) ||
		       !take(making, row, "signature", &facts) ||
		       !take_path(json_object_get(row, "path"), record);
	if (making->bad)
		return 0;
	signature_note(proof, record, facts);
	proof->record_count++;
	return 0;
}

static int
file_write(const struct cli *cli, const char *path, struct span bytes)
{
	FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
	bool good = file != NULL;

	if (good)
		good = fwrite(bytes.ptr, 1, bytes.len, file) == bytes.len;
	if (file == stdout)
		good = fflush(file) == 0 && good;
	else if (file)
		good = fclose(file) == 0 && good;
	return good ? CLI_DONE : cli_fail(cli, CLI_COULD_NOT, "%s: %s", path, strerror(errno));
}

static int
proof_write(const struct cli *cli, struct making *making, const char *path)
{
	char problem[PROOF_PROBLEM] = "a row of the broker is none";
	struct buffer text;
	int r;

	if (making->bad || !proof_check(&making->proof, NULL, problem))
		return cli_fail(
		    cli, CLI_NOT_WELL, "the broker's proof is not good: %s; liaison verify", problem);
	buffer_init(&text, 2 * PROOF_FILE_MAX);
	if (proof_encode(&making->proof, &text) != 0)
		r = cli_fail(cli, CLI_COULD_NOT, "there is no memory");
	else
		r = file_write(cli, path, buffer_span(&text));
	if (r == CLI_DONE)
		fprintf(stderr, "%s: %zu records, %zu bytes; liaison verify --proof FILE --ca CA checks it\n",
		    path, making->proof.record_count, text.len);
	buffer_fini(&text);
	return r;
}

int
verify_make_proof(const struct cli *cli, json_t *request, const char *path)
{
	struct cli quiet = *cli;
	struct making making = { 0 };
	int r;

	quiet.json = false; /* the rows are for us */
	arena_init(&making.arena, 2 * PROOF_FILE_MAX);
	making.proof.records = calloc(PROOF_RECORDS, sizeof *making.proof.records);
	making.proof.signatures = calloc(PROOF_SIGNATURES, sizeof *making.proof.signatures);
	if (!making.proof.records || !making.proof.signatures) {
		json_decref(request);
		r = cli_fail(cli, CLI_COULD_NOT, "there is no memory");
	} else {
		r = control_client_once(&quiet, request, take_row, &making);
	}
	if (r == CLI_DONE)
		r = proof_write(cli, &making, path);
	free(making.proof.records);
	free(making.proof.signatures);
	arena_fini(&making.arena);
	return r;
}

/*
 * Checking
 */
static int
file_read(const struct cli *cli, const char *path, struct buffer *out)
{
	FILE *file = fopen(path, "re");
	uint8_t *place;
	size_t n = 1;
	bool good = file != NULL;

	while (good && n > 0) {
		place = buffer_reserve(out, CHUNK);
		n = place ? fread(place, 1, CHUNK, file) : 0;
		buffer_commit(out, n);
		good = place && !ferror(file);
	}
	if (file)
		fclose(file);
	return good ? CLI_DONE
		    : cli_fail(cli, CLI_COULD_NOT, "%s: %s", path,
			  buffer_failed(out) ? "too large" : strerror(errno));
}

static void
print_line(void *arg, struct span text)
{
	(void)arg;
	printf("%.*s\n", (int)text.len, (const char *)text.ptr);
}

/* Whether the file ${path} holds the bytes that were received. */
static int
content_check(const struct cli *cli, const struct proof *proof, const char *path)
{
	const struct record_head *head = &proof->records[0].fields.head;
	uint8_t digest[DIGEST_SHA256_LEN];
	struct buffer bytes;
	int r;

	buffer_init(&bytes, (size_t)RECORD_BODY_MAX);
	r = file_read(cli, path, &bytes);
	if (r == CLI_DONE && (bytes.len != head->size || digest_sha256(buffer_span(&bytes), digest) != 0 ||
				 memcmp(digest, head->sha256, sizeof digest) != 0))
		r = cli_fail(cli, CLI_NOT_WELL, "%s: these are not the bytes that were received", path);
	else if (r == CLI_DONE)
		printf("%s holds the bytes that were received\n", path);
	buffer_fini(&bytes);
	return r;
}

static int
proof_judge(const struct cli *cli, const char *path, const struct seal_trust *trust, const char *content)
{
	char problem[PROOF_PROBLEM];
	struct buffer file;
	struct proof proof;
	struct arena arena;
	int r;

	buffer_init(&file, PROOF_FILE_MAX);
	arena_init(&arena, 2 * PROOF_FILE_MAX);
	r = file_read(cli, path, &file);
	if (r == CLI_DONE && !proof_verify(buffer_span(&file), trust, &arena, &proof, problem))
		r = cli_fail(cli, CLI_NOT_WELL, "%s: NOT good: %s", path, problem);
	if (r == CLI_DONE) {
		if (proof_says(&proof, print_line, NULL) != 0)
			r = cli_fail(cli, CLI_COULD_NOT, "there is no memory");
		else if (content)
			r = content_check(cli, &proof, content);
	}
	if (r == CLI_DONE)
		printf("%s: good\n", path);
	arena_fini(&arena);
	buffer_fini(&file);
	return r;
}

static int
trust_load(const struct cli *cli, const char *path, struct seal_trust **trustp)
{
	struct buffer errors;
	int r;

	buffer_init(&errors, 4096);
	r = seal_trust_load(trustp, path, &errors);
	if (r)
		r = cli_fail(cli, CLI_COULD_NOT, "%.*s", (int)(errors.len ? errors.len - 1 : 0),
		    (const char *)errors.data);
	buffer_fini(&errors);
	return r;
}

/*
 * The journal of a running broker
 */
struct judging {
	const struct cli *cli;
	const struct seal_trust *trust; /* NULL: nobody was named */
	size_t breaks;
	bool untrusted;
};

/* Whether the seal of the signature in ${row} is vouched for. */
static bool
seal_good(struct judging *judging, const json_t *row, const char *key)
{
	struct span text = span_str(cli_text(row, key));
	struct statement_facts facts;
	struct seal_names names;
	struct buffer bytes;
	const char *why = "it is none";

	buffer_init(&bytes, STATEMENT_FACTS_MAX);
	if (base64_decode(text, 0, &bytes, NULL) == BASE64_OK &&
	    statement_facts_decode(buffer_span(&bytes), &facts)) {
		why = seal_signed(&facts) ? NULL : "its signature is not its certificate's";
		if (!why && judging->trust)
			why = seal_trust_check(judging->trust, &facts);
		if (seal_names(facts.certificate[0], &names))
			printf("%s seal %s, serial %s%s%s\n", why ? "BAD " : "ok  ", names.subject,
			    names.serial, why ? ": " : "",
			    why		     ? why
			    : judging->trust ? ""
					     : " (whom to trust was not said: --ca)");
	}
	buffer_fini(&bytes);
	return !why;
}

static int
judge_row(void *arg, const json_t *row)
{
	struct judging *judging = arg;
	const char *kind = cli_text(row, "kind");

	if (strcmp(kind, "seal") == 0) {
		judging->untrusted |= !seal_good(judging, row, "first");
		judging->untrusted |= !seal_good(judging, row, "last");
	} else if (strcmp(kind, "finding") == 0 && strcmp(cli_text(row, "subject"), "journal") == 0) {
		if (!cli_true(row, "well") && judging->breaks++ == 0)
			printf("the first break: %s\n", cli_text(row, "text"));
		else
			printf("%-4s %s\n", cli_true(row, "well") ? "ok" : "BAD", cli_text(row, "text"));
	}
	return 0;
}

static int
journal_judge(const struct cli *cli, const struct seal_trust *trust)
{
	struct judging judging = { .cli = cli, .trust = trust };
	int r = control_client_once(cli, json_pack("{ss}", "command", "check"), judge_row, &judging);

	if (r == CLI_COULD_NOT || cli->json)
		return r;
	return judging.breaks || judging.untrusted ? CLI_NOT_WELL : CLI_DONE;
}

int
cli_verify(const struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = { { "proof", required_argument, NULL, 'p' },
		{ "ca", required_argument, NULL, 'a' }, { "content", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 } };
	const char *proof = NULL, *ca = NULL, *content = NULL;
	struct seal_trust *trust = NULL;
	int option, r;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'p')
			proof = optarg;
		else if (option == 'a')
			ca = optarg;
		else if (option == 'c')
			content = optarg;
		else
			return cli_bad_option(cli, options, option);
	}
	if (optind != argc || (content && !proof))
		return cli_usage(cli);
	if (proof && !ca) {
		cli_fail(cli, 0, "whom do you trust? --ca FILE: the authority of the broker's seal");
		return cli_usage(cli);
	}
	r = ca ? trust_load(cli, ca, &trust) : CLI_DONE;
	if (r)
		return r;
	r = proof ? proof_judge(cli, proof, trust, content) : journal_judge(cli, trust);
	seal_trust_free(trust);
	return r;
}
