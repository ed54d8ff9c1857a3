/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop thread: timers, signals, and work that other threads hand back.
 *
 * One struct loop per I/O thread; this version runs one. Everything here but loop_poster and loop_stop is called on its thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "broker/base/post.h"

struct event_base;
struct loop;
struct loop_timer;

int loop_new(struct loop **loopp) __attribute__((warn_unused_result));
void loop_free(struct loop *loop);

/* Run until loop_stop. */
int loop_run(struct loop *loop) __attribute__((warn_unused_result));

/* Thread-safe. */
void loop_stop(struct loop *loop);

/* Posted items run on the loop thread in the order posted. Thread-safe; lives as long as the loop. */
struct poster *loop_poster(struct loop *loop);

/* For links and listeners only. */
struct event_base *loop_base(struct loop *loop);

/* Monotonic microseconds, read once per turn of the loop. */
uint64_t loop_now_us(struct loop *loop);

/* A timer that is not armed. ${fire} may free it. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fire)(void *arg), void *arg);
void loop_timer_arm(struct loop_timer *timer, uint64_t after_ms); /* arming anew replaces */
void loop_timer_cancel(struct loop_timer *timer);
void loop_timer_free(struct loop_timer *timer);

/* Call ${fire} on the loop for signal ${signo}. */
int loop_signal(struct loop *loop, int signo, void (*fire)(void *arg), void *arg)
    __attribute__((warn_unused_result));
