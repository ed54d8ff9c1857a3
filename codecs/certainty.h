/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How sure a rule or a name is: some national rules are published, some are only seen in running code, some
 * are common knowledge. Whoever refuses on a rule looks here first: on CERTAINTY_BACKGROUND nothing is
 * refused, only remarked.
 */
#pragma once

enum certainty {
	CERTAINTY_SOURCED,     /* a public specification, reference or page says so */
	CERTAINTY_PUBLIC_CODE, /* running public code or official sample data does so */
	CERTAINTY_BACKGROUND,  /* held to be so; no source at hand */
};
