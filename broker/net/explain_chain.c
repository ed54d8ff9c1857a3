/* SPDX-License-Identifier: Apache-2.0 */
/* A server's chain in sentences. Every fault is told, with the certificate that it concerns and what to do. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "broker/base/clock.h"
#include "broker/net/explain_parts.h"
#include "broker/net/tls_state.h"

#define FAULTS_MAX 16

struct fault_seen {
	const char *words;
	int depth;
};

struct faults {
	struct fault_seen at[FAULTS_MAX];
	size_t count;
};

const char *
explain_advice(const char *words)
{
	static const struct {
		const char *words, *advice;
	} list[] = {
		{ "expired", "Its owner must install the renewed one." },
		{ "not yet valid",
		    "Compare the clocks of both machines; otherwise its owner used it too early." },
		{ "authority expired",
		    "Its owner must get a certificate of the authority's present certificate." },
		{ "authority not yet valid", "Compare the clocks of both machines." },
		{ "unknown authority", "If its issuer is to be trusted, add it to tls.authorities; if it is "
				       "there, the other side does "
				       "not send its intermediate certificates." },
		{ "self-signed",
		    "Nobody vouches for it: its owner must get one from an authority of tls.authorities." },
		{ "bad signature",
		    "It was changed, or its issuer's certificate in tls.authorities is another one of "
		    "the same name." },
		{ "wrong usage",
		    "It is not one for this side of a connection: its owner must get one that allows "
		    "it (serverAuth of a server, clientAuth of a client)." },
		{ "issuer is no authority", "Its owner must get one from an authority." },
		{ "chain too long",
		    "More than four authorities above it: ask its owner for the plain chain." },
		{ "weak key",
		    "RSA takes 2048 bits and more, ECDSA P-256 and more: its owner must make a new key." },
		{ "weak signature", "MD5 and SHA-1 are not taken: its owner must get a new certificate." },
		{ "revoked", "Its authority has withdrawn it. Do not go on; call its owner." },
		{ "authority revoked", "The authority itself was withdrawn. Do not go on; ask it." },
		{ "no revocation list of its authority",
		    "Add that authority's list to the file of tls.crls, and itself to tls.authorities." },
		{ "revocation list too old",
		    "Get the authority's present list; look at the timer that should have done so." },
		{ "revocation list not yet valid", "Compare the clock with the list's." },
		{ "wrong host name", "If it is the right machine, set server_name of the destination to one "
				     "of its names; otherwise the "
				     "address leads elsewhere." },
		{ "no certificate", "The other side must show one." },
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (strcmp(list[i].words, words) == 0)
			return list[i].advice;
	return "Show this line to the other side's administrator.";
}

static void
note(void *arg, int error, int depth, X509 *at)
{
	struct faults *faults = arg;
	const char *words = tls_depth_words(error, depth);

	(void)at;
	for (size_t i = 0; i < faults->count; i++)
		if (faults->at[i].depth == depth && strcmp(faults->at[i].words, words) == 0)
			return;
	if (faults->count < FAULTS_MAX)
		faults->at[faults->count++] = (struct fault_seen){ words, depth };
}

static const char *
usage_text(X509 *certificate, char text[static 96])
{
	uint32_t usage = X509_get_extended_key_usage(certificate);

	if (X509_check_ca(certificate) > 0)
		return "an authority";
	if (usage == UINT32_MAX)
		return "for any use (it has no extended key usage)";
	text[0] = '\0';
	if (usage & XKU_SSL_SERVER)
		strcat(text, " server");
	if (usage & XKU_SSL_CLIENT)
		strcat(text, " client");
	if (usage & ~(uint32_t)(XKU_SSL_SERVER | XKU_SSL_CLIENT))
		strcat(text, " other");
	return text[0] ? text + 1 : "nothing known here";
}

static void
tell_certificate(struct buffer *report, size_t number, X509 *certificate, int64_t now_s)
{
	char from[32], to[32], room[96];
	struct tls_identity identity;
	int64_t days;

	tls_identity_read(&identity, certificate);
	clock_second(identity.not_before, from);
	clock_second(identity.not_after, to);
	days = tls_identity_days(&identity, now_s);
	buffer_printf(report, "certificate %zu: %s\n", number, identity.subject);
	buffer_printf(report, "  issued by %s, serial %s\n", identity.issuer, identity.serial);
	buffer_printf(report, "  valid from %s to %s: ", from, to);
	if (now_s < identity.not_before)
		buffer_append_str(report, "its time has not come");
	else if (now_s > identity.not_after)
		buffer_printf(
		    report, "ended %lld days ago", (long long)((now_s - identity.not_after) / 86400));
	else
		buffer_printf(report, "%lld days left", (long long)days);
	buffer_printf(report, "; usage: %s\n", usage_text(certificate, room));
}

/* ${name} as text; what the other side wrote cannot forge a line of ours. */
static void
name_text(const GENERAL_NAME *name, char text[static 256])
{
	const ASN1_STRING *value = name->type == GEN_DNS ? name->d.dNSName : name->d.iPAddress;
	const uint8_t *data = ASN1_STRING_get0_data(value);
	size_t len = (size_t)ASN1_STRING_length(value);

	text[0] = '\0';
	if (name->type == GEN_IPADD) {
		if (len == 4 || len == 16)
			inet_ntop(len == 4 ? AF_INET : AF_INET6, data, text, 256);
		return;
	}
	len = len > 255 ? 255 : len;
	for (size_t i = 0; i < len; i++)
		text[i] = data[i] > ' ' && data[i] <= '~' ? (char)data[i] : '?';
	text[len] = '\0';
}

/* The names of a server's certificate, as server_name may have them. */
static void
tell_names(struct buffer *report, X509 *certificate)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	size_t told = 0;
	char text[256];

	buffer_append_str(report, "  for");
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && told < 20; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_DNS && name->type != GEN_IPADD)
			continue;
		name_text(name, text);
		buffer_printf(report, "%s %s", told++ ? "," : "", text);
	}
	buffer_append_str(report, told ? "\n" : " no host at all (it has no alternative names)\n");
	GENERAL_NAMES_free(names);
}

static void
tell_revocation(
    struct buffer *report, struct tls_context *context, X509 *certificate, X509 *issuer, int64_t now_s)
{
	struct tls_crl crl;
	char made[32];
	size_t index;
	int error;

	if (context->crls && !issuer)
		issuer = tls_crls_issuer(context->crls, certificate);
	if (!issuer || !context->crls)
		return;
	error = tls_crls_look_up(context->crls, certificate, issuer, now_s);
	if (!tls_crls_which(context->crls, certificate, issuer, &index) ||
	    !tls_crl_at(context, index, &crl)) {
		buffer_append_str(report, "  revocation: its authority has no list here\n");
		return;
	}
	clock_second(crl.this_update, made);
	buffer_printf(report, "  revocation: %s in the list of %s (%zu entries, made %s%s)\n",
	    error == X509_V_ERR_CERT_REVOKED ? "REVOKED" : "not listed", crl.issuer, crl.revoked, made,
	    now_s > crl.next_update + TLS_CRL_GRACE_S ? ", too old"
	    : now_s > crl.next_update		      ? ", overdue, within its grace of 72 h"
						      : "");
}

static void
tell_fault(struct buffer *report, const struct fault_seen *fault)
{
	buffer_printf(report, "  WRONG: certificate %d: %s. %s\n", fault->depth + 1, fault->words,
	    explain_advice(fault->words));
}

int
explain_chain(
    struct buffer *report, struct tls_context *context, SSL *ssl, const char *server_name, int64_t now_s)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl), *at = NULL;
	struct faults faults = { .count = 0 };
	struct tls_chain_watch watch = { .error = note, .arg = &faults };
	int depth, rc;

	if (!leaf) {
		buffer_printf(report, "  WRONG: the server showed no certificate. %s\n",
		    explain_advice("no certificate"));
		return 1;
	}
	rc = tls_chain_verify(context, ssl, leaf, SSL_get_peer_cert_chain(ssl), &watch, &depth, &at);
	X509_free(at);
	if (rc < 0)
		return rc;
	for (int i = 0; i < sk_X509_num(watch.built); i++) {
		X509 *certificate = sk_X509_value(watch.built, i);

		tell_certificate(report, (size_t)i + 1, certificate, now_s);
		if (i == 0)
			tell_names(report, certificate);
		tell_revocation(report, context, certificate, sk_X509_value(watch.built, i + 1), now_s);
	}
	if (!context->crls)
		buffer_append_str(report, "revocation: not looked at (tls.crls is not set)\n");
	sk_X509_pop_free(watch.built, X509_free);
	if (faults.count == 0)
		buffer_printf(report, "chain: good, and for %s\n", server_name);
	for (size_t i = 0; i < faults.count; i++)
		tell_fault(report, &faults.at[i]);
	return (int)faults.count;
}
