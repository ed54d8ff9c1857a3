/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revocation lists: loaded and verified once, looked up at every handshake.
 *
 * OpenSSL's own check verifies the list's signature, and so digests the whole list, at every handshake, knows no grace, and demands a list for
 * trusted intermediates whose root is not there. Here a list is verified when it is loaded, and a handshake is a binary search.
 *
 * Taken are complete lists of a listed authority, whole or limited to users, to authorities or to named distribution points (RFC 5280, 5.2.5). Delta
 * and indirect lists, lists of some reasons only, and critical extensions not known here are refused when loading: believing them partly would be
 * believing that a certificate is good. Immutable once loaded: any thread.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "broker/net/tls_state.h"

/* Revoked certificates from which freeing the lists would hold up the loop: 300,000 of them take 100 ms. */
#define FREE_ASIDE 10000

/* The largest lists in the field have some 30 MiB; past this it is no list. */
#define FILE_MAX ((off_t)256 * 1024 * 1024)

/* Listed authorities above a chain, at most: some may vouch for one another. */
#define ABOVE_MAX 8

struct list {
	X509_CRL *crl;
	ISSUING_DIST_POINT *scope; /* NULL: all certificates of the authority */
	X509 *authority;
	int64_t this_update, next_update; /* Unix seconds */
};

/* A listed authority, and who vouches for it among them: what the end of a chain is looked up with. */
struct anchor {
	X509 *x509;
	X509 *issuer; /* NULL: self-issued, or not listed */
};

struct tls_crls {
	struct list *lists;
	size_t count;
	struct anchor *anchors;
	size_t anchor_count;
};

/* The same authority: a renewed certificate of it keeps name and key. */
static bool
same_authority(const X509 *one, const X509 *other)
{
	return X509_NAME_cmp(X509_get_subject_name(one), X509_get_subject_name(other)) == 0 &&
	       ASN1_STRING_cmp(X509_get0_pubkey_bitstr(one), X509_get0_pubkey_bitstr(other)) == 0;
}

static void
say_list(struct buffer *errors, const char *file, const X509_CRL *crl, const char *what)
{
	char issuer[256];

	tls_name_read(issuer, sizeof(issuer), X509_CRL_get_issuer(crl));
	buffer_printf(errors, "%s: the revocation list of %s %s\n", file, issuer, what);
	ERR_clear_error();
}

static bool
weak(const X509_CRL *crl)
{
	int digest = NID_undef;

	return OBJ_find_sigid_algs(X509_CRL_get_signature_nid(crl), &digest, NULL) != 1 ||
	       digest == NID_sha1 || digest == NID_md5;
}

/* What keeps a list from being believed, in words; NULL: nothing. Fills ${list}->scope. */
static const char *
scope_fault(struct list *list)
{
	int critical = -1;

	for (int i = 0; i < X509_CRL_get_ext_count(list->crl); i++) {
		X509_EXTENSION *extension = X509_CRL_get_ext(list->crl, i);
		int nid = OBJ_obj2nid(X509_EXTENSION_get_object(extension));

		if (nid == NID_delta_crl)
			return "is a delta list; the complete one is wanted";
		if (X509_EXTENSION_get_critical(extension) && nid != NID_issuing_distribution_point)
			return "has a critical extension that is not known here";
	}
	list->scope = X509_CRL_get_ext_d2i(list->crl, NID_issuing_distribution_point, &critical, NULL);
	if (!list->scope)
		return critical == -1 ? NULL : "has an issuing distribution point that cannot be read";
	if (list->scope->indirectCRL > 0)
		return "is an indirect list; one of the authority itself is wanted";
	if (list->scope->onlyattr > 0 || list->scope->onlysomereasons)
		return "tells of some certificates or reasons only; the complete one is wanted";
	return NULL;
}

static const char *
time_fault(struct list *list, int64_t now_s)
{
	list->this_update = tls_time_read(X509_CRL_get0_lastUpdate(list->crl));
	list->next_update = tls_time_read(X509_CRL_get0_nextUpdate(list->crl));
	if (list->this_update == 0 || list->next_update == 0)
		return "does not say when it was made or when the next one comes";
	if (list->this_update > now_s)
		return "is not valid yet; is the clock right?";
	return NULL;
}

static const char *
signature_fault(const struct tls_crls *crls, struct list *list)
{
	bool named = false;

	for (size_t i = 0; i < crls->anchor_count; i++) {
		X509 *x509 = crls->anchors[i].x509;

		if (X509_NAME_cmp(X509_get_subject_name(x509), X509_CRL_get_issuer(list->crl)) != 0)
			continue;
		named = true;
		if (!(X509_get_key_usage(x509) & KU_CRL_SIGN)) /* all bits when it has none */
			continue;
		if (X509_CRL_verify(list->crl, X509_get0_pubkey(x509)) == 1) {
			list->authority = x509;
			return NULL;
		}
	}
	return named ? "has a signature that is not its authority's"
		     : "is of no authority of tls.authorities; list that authority there, too";
}

/* The same part of the same authority's certificates. */
static bool
same_scope(const struct list *one, const struct list *other)
{
	const int nid = NID_issuing_distribution_point;
	int a = X509_CRL_get_ext_by_NID(one->crl, nid, -1), b = X509_CRL_get_ext_by_NID(other->crl, nid, -1);

	if (!same_authority(one->authority, other->authority) || (a < 0) != (b < 0))
		return false;
	return a < 0 || ASN1_STRING_cmp(X509_EXTENSION_get_data(X509_CRL_get_ext(one->crl, a)),
			    X509_EXTENSION_get_data(X509_CRL_get_ext(other->crl, b))) == 0;
}

static void
list_fini(struct list *list)
{
	X509_CRL_free(list->crl);
	ISSUING_DIST_POINT_free(list->scope);
}

/* Of two editions of a list the newer counts. ${list} is taken over. */
static int
list_add(struct tls_crls *crls, struct list *list)
{
	X509_REVOKED *revoked;
	struct list *more;

	/* The first search sorts the list: here, and not on the loop. */
	(void)X509_CRL_get0_by_cert(list->crl, &revoked, list->authority);
	for (size_t i = 0; i < crls->count; i++) {
		struct list *old = &crls->lists[i], other = *old;

		if (!same_scope(old, list))
			continue;
		if (list->this_update > old->this_update) {
			*old = *list;
			*list = other;
		}
		list_fini(list);
		return 0;
	}
	more = realloc(crls->lists, (crls->count + 1) * sizeof(*more));
	if (!more) {
		list_fini(list);
		return -ENOMEM;
	}
	crls->lists = more;
	crls->lists[crls->count++] = *list;
	return 0;
}

/* ${crl} is taken over. */
static int
list_load(struct tls_crls *crls, X509_CRL *crl, const char *file, int64_t now_s, struct buffer *errors)
{
	struct list list = { .crl = crl };
	const char *fault;

	fault = weak(crl) ? "is signed with a weak digest" : signature_fault(crls, &list);
	if (!fault)
		fault = scope_fault(&list);
	if (!fault)
		fault = time_fault(&list, now_s);
	if (!fault)
		return list_add(crls, &list);
	say_list(errors, file, crl, fault);
	list_fini(&list);
	return TLS_INVALID;
}

static int
anchors_load(struct tls_crls *crls, X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	size_t count = (size_t)sk_X509_OBJECT_num(objects);

	crls->anchors = calloc(count + 1, sizeof(*crls->anchors));
	if (!crls->anchors)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		X509 *x509 = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, (int)i));

		if (x509 && X509_up_ref(x509))
			crls->anchors[crls->anchor_count++].x509 = x509;
	}
	for (size_t i = 0; i < crls->anchor_count; i++) {
		X509 *x509 = crls->anchors[i].x509;

		if (X509_check_issued(x509, x509) == X509_V_OK)
			continue;
		for (size_t k = 0; k < crls->anchor_count && !crls->anchors[i].issuer; k++) {
			X509 *above = crls->anchors[k].x509;

			if (X509_check_issued(above, x509) == X509_V_OK &&
			    X509_verify(x509, X509_get0_pubkey(above)) == 1)
				crls->anchors[i].issuer = above;
		}
	}
	ERR_clear_error();
	return 0;
}

static int
lists_load(struct tls_crls *crls, FILE *stream, const char *file, struct buffer *errors)
{
	const int64_t now_s = (int64_t)time(NULL);
	size_t read = 0;
	X509_CRL *crl;
	int rc = 0, r;

	while ((crl = PEM_read_X509_CRL(stream, NULL, NULL, NULL))) {
		read++;
		r = list_load(crls, crl, file, now_s, errors);
		if (r < 0)
			return r;
		if (r)
			rc = r;
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		tls_files_say(errors, file, "a revocation list cannot be read");
		rc = TLS_INVALID;
	} else if (read == 0) {
		buffer_printf(errors, "%s: no revocation list in PEM form\n", file);
		rc = TLS_INVALID;
	}
	ERR_clear_error();
	return rc;
}

int
tls_crls_load(struct tls_crls **crlsp, X509_STORE *store, const struct config_tls *tls, struct buffer *errors)
{
	struct tls_crls *crls = calloc(1, sizeof(*crls));
	FILE *stream = NULL;
	struct stat st;
	int rc = -ENOMEM;

	if (!crls)
		return rc;
	rc = anchors_load(crls, store);
	if (rc)
		goto fail;
	rc = TLS_INVALID;
	stream = fopen(tls->crls, "re");
	if (!stream || fstat(fileno(stream), &st) < 0) {
		buffer_printf(
		    errors, "%s: the revocation lists cannot be read: %s\n", tls->crls, strerror(errno));
		goto fail;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		buffer_printf(errors, "%s: that is no file of revocation lists\n", tls->crls);
		goto fail;
	}
	rc = lists_load(crls, stream, tls->crls, errors);
	if (rc)
		goto fail;
	fclose(stream);
	*crlsp = crls;
	return 0;
fail:
	if (stream)
		fclose(stream);
	tls_crls_free(crls);
	return rc;
}

static void *
crls_free(void *arg)
{
	struct tls_crls *crls = arg;

	for (size_t i = 0; i < crls->count; i++)
		list_fini(&crls->lists[i]);
	for (size_t i = 0; i < crls->anchor_count; i++)
		X509_free(crls->anchors[i].x509);
	free(crls->lists);
	free(crls->anchors);
	free(crls);
	return NULL;
}

/* The last connection of a former context ends on the loop. */
void
tls_crls_free(struct tls_crls *crls)
{
	pthread_t thread;
	int entries = 0;

	if (!crls)
		return;
	for (size_t i = 0; i < crls->count; i++)
		entries += sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crls->lists[i].crl));
	if (entries < FREE_ASIDE || pthread_create(&thread, NULL, crls_free, crls) != 0)
		crls_free(crls);
	else
		pthread_detach(thread);
}

/* Whether one of ${certificate}'s distribution points is one of ${names} (RFC 5280, 6.3.3 b 2 i). */
static bool
points_match(X509 *certificate, const GENERAL_NAMES *names)
{
	CRL_DIST_POINTS *points = X509_get_ext_d2i(certificate, NID_crl_distribution_points, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_DIST_POINT_num(points) && !found; i++) {
		const DIST_POINT_NAME *point = sk_DIST_POINT_value(points, i)->distpoint;

		for (int k = 0; point && point->type == 0 && k < sk_GENERAL_NAME_num(point->name.fullname);
		     k++)
			for (int n = 0; n < sk_GENERAL_NAME_num(names); n++)
				found |= GENERAL_NAME_cmp(sk_GENERAL_NAME_value(point->name.fullname, k),
					     sk_GENERAL_NAME_value(names, n)) == 0;
	}
	CRL_DIST_POINTS_free(points);
	return found;
}

/* Whether ${list} tells of ${certificate}, which is of the same authority. */
static bool
covers(const struct list *list, X509 *certificate)
{
	const ISSUING_DIST_POINT *scope = list->scope;
	bool authority;

	if (!scope)
		return true;
	authority = X509_check_ca(certificate) > 0;
	if ((scope->onlyuser > 0 && authority) || (scope->onlyCA > 0 && !authority))
		return false;
	if (!scope->distpoint)
		return true;
	return scope->distpoint->type == 0 && points_match(certificate, scope->distpoint->name.fullname);
}

int
tls_crls_look_up(const struct tls_crls *crls, X509 *certificate, X509 *issuer, int64_t now_s)
{
	int found = X509_V_ERR_UNABLE_TO_GET_CRL;
	X509_REVOKED *revoked;

	for (size_t i = 0; i < crls->count; i++) {
		const struct list *list = &crls->lists[i];

		if (!same_authority(list->authority, issuer) || !covers(list, certificate))
			continue;
		if (X509_CRL_get0_by_cert(list->crl, &revoked, certificate) == 1)
			return X509_V_ERR_CERT_REVOKED;
		if (now_s < list->this_update)
			found = found == X509_V_OK ? found : X509_V_ERR_CRL_NOT_YET_VALID;
		else if (now_s > list->next_update + TLS_CRL_GRACE_S)
			found = found == X509_V_OK ? found : X509_V_ERR_CRL_HAS_EXPIRED;
		else
			found = X509_V_OK;
	}
	return found;
}

bool
tls_crls_which(const struct tls_crls *crls, X509 *certificate, X509 *issuer, size_t *index)
{
	for (*index = 0; *index < crls->count; ++*index)
		if (same_authority(crls->lists[*index].authority, issuer) &&
		    covers(&crls->lists[*index], certificate))
			return true;
	return false;
}

X509 *
tls_crls_issuer(const struct tls_crls *crls, const X509 *certificate)
{
	for (size_t i = 0; i < crls->anchor_count; i++)
		if (X509_cmp(crls->anchors[i].x509, certificate) == 0)
			return crls->anchors[i].issuer;
	return NULL;
}

int
tls_crls_check(X509_STORE_CTX *store, const struct tls_crls *crls)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
	const int64_t now_s = (int64_t)time(NULL);
	X509 *certificate = sk_X509_value(chain, 0), *issuer;
	int count = sk_X509_num(chain);

	/* The chain ends at the first that is listed; those above it are looked up as far as they are listed, too. */
	for (int i = 0; certificate && i < count + ABOVE_MAX; i++, certificate = issuer) {
		int error;

		issuer = i + 1 < count ? sk_X509_value(chain, i + 1) : tls_crls_issuer(crls, certificate);
		error = issuer ? tls_crls_look_up(crls, certificate, issuer, now_s) : X509_V_OK;
		if (error == X509_V_OK)
			continue;
		X509_STORE_CTX_set_error_depth(store, i);
		X509_STORE_CTX_set_current_cert(store, certificate);
		X509_STORE_CTX_set_error(store, error);
		if (!X509_STORE_CTX_get_verify_cb(store)(0, store))
			return 0;
	}
	return 1;
}

void
tls_crls_missing(const struct tls_crls *crls, void (*each)(void *arg, X509 *authority), void *arg)
{
	for (size_t i = 0; i < crls->anchor_count; i++) {
		bool found = X509_check_ca(crls->anchors[i].x509) == 0;

		for (size_t k = 0; k < crls->count && !found; k++)
			found = same_authority(crls->lists[k].authority, crls->anchors[i].x509);
		if (!found)
			each(arg, crls->anchors[i].x509);
	}
}

void
tls_crl_status(const struct tls_context *context, int64_t now_s, struct tls_crl_status *status)
{
	const struct tls_crls *crls = context->crls;
	const struct list *first = NULL;

	memset(status, 0, sizeof(*status));
	for (size_t i = 0; crls && i < crls->count; i++)
		if (!first || crls->lists[i].next_update < first->next_update)
			first = &crls->lists[i];
	if (!first)
		return;
	status->count = crls->count;
	status->next_update = first->next_update;
	status->stale = now_s > first->next_update;
	status->closed = now_s > first->next_update + TLS_CRL_GRACE_S;
	tls_name_read(status->issuer, sizeof(status->issuer), X509_CRL_get_issuer(first->crl));
}

bool
tls_crl_at(const struct tls_context *context, size_t index, struct tls_crl *crl)
{
	const struct list *list;
	int count;

	if (!context->crls || index >= context->crls->count)
		return false;
	list = &context->crls->lists[index];
	tls_name_read(crl->issuer, sizeof(crl->issuer), X509_CRL_get_issuer(list->crl));
	crl->this_update = list->this_update;
	crl->next_update = list->next_update;
	count = sk_X509_REVOKED_num(X509_CRL_get_REVOKED(list->crl));
	crl->revoked = count > 0 ? (size_t)count : 0; /* -1: an empty list has none at all */
	return true;
}

static int
look_up_serial(const struct tls_crls *crls, const char *issuer, const char *serial, int64_t now_s)
{
	int found = X509_V_ERR_UNABLE_TO_GET_CRL;
	ASN1_INTEGER *number = NULL;
	BIGNUM *big = NULL;
	X509_REVOKED *revoked;
	char name[256];

	if (BN_hex2bn(&big, serial) > 0)
		number = BN_to_ASN1_INTEGER(big, NULL);
	BN_free(big);
	for (size_t i = 0; number && i < crls->count; i++) {
		const struct list *list = &crls->lists[i];

		tls_name_read(name, sizeof(name), X509_CRL_get_issuer(list->crl));
		if (strcmp(name, issuer) != 0)
			continue;
		if (X509_CRL_get0_by_serial(list->crl, &revoked, number) == 1) {
			found = X509_V_ERR_CERT_REVOKED;
			break;
		}
		found = now_s > list->next_update + TLS_CRL_GRACE_S ? X509_V_ERR_CRL_HAS_EXPIRED : X509_V_OK;
	}
	ASN1_INTEGER_free(number);
	return found;
}

const char *
tls_serial_words(const struct tls_context *context, const struct tls_identity *identity, int64_t now_s)
{
	if (!context->crls)
		return NULL;
	return tls_verify_words(look_up_serial(context->crls, identity->issuer, identity->serial, now_s));
}
