/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The link of a sender: messages out, answers in, and what is made of its end. For broker/senders/ only.
 */
#pragma once

#include "broker/senders/mllp_sender.h"

extern const struct link_handler sender_link_handler;

/* A try to connect came to nothing; ${arg} is the sender. */
void sender_dial_failed(void *arg, const struct dial_failure *failure);

/* Do with the open link what is to be done: send, read ahead, end it. */
void sender_link_step(struct mllp_sender *sender);

/*
 * mllp_sender.c
 */

/* It failed as ${sender}->why and state.error say: tell, once, and pause before the next try. */
void sender_failed(struct mllp_sender *sender);

/* The destination settled a message: it is up. */
void sender_settled_one(struct mllp_sender *sender);
