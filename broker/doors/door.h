/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every door is given: the parts of the broker it may ask. All outlive the doors; none is owned by them.
 */
#pragma once

struct budget;
struct config;
struct core;
struct journal;
struct loop;
struct peers;
struct presence;
struct slots;
struct workers;

struct door_context {
	struct loop *loop;
	const struct config *config;
	struct core *core;
	struct journal *journal;
	struct workers *workers;
	struct peers *peers;
	struct presence *presence;
	struct slots *slots;
	struct budget *budget; /* NULL: memory is not accounted for */
};
