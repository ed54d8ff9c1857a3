/* SPDX-License-Identifier: Apache-2.0 */
/* An address in digits: what needs no resolver. See resolve.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "broker/net/resolve.h"

bool
resolve_numeric(struct resolved *resolved, const char *host, uint16_t port)
{
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct resolve_address *to = &resolved->addresses[0];

	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		memcpy(&to->at, &four, sizeof(four));
		to->len = sizeof(four);
	} else if (inet_pton(AF_INET6, host, &six.sin6_addr) == 1) {
		memcpy(&to->at, &six, sizeof(six));
		to->len = sizeof(six);
	} else {
		return false;
	}
	resolved->why = NULL;
	resolved->count = 1;
	return true;
}
