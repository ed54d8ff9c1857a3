/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges in the Prometheus text form, from one catalogue (metrics.def).
 *
 * A metric may have one label (peer, destination, cause). A series is made once, at start or configuration load, and then counted without a
 * lock; names of labels come from configuration or code, never from a message.
 */
#pragma once

#include <stdint.h>

#include "codecs/buffer.h"

enum metric {
#define METRIC(id, name, type, label, help) METRIC_##id,
#include "broker/base/metrics.def"
#undef METRIC
	METRIC_COUNT
};

struct metric_series;

#define METRIC_SERIES_MAX 4096 /* of one metric: more labels than peers of a large region */

/* The series of ${metric} for ${label} (copied; ignored when the metric has none). Made on first use, the process's for ever; never NULL:
 * when there is no memory, or past METRIC_SERIES_MAX, the metric's series "(other)" is given. Thread-safe. */
struct metric_series *metric_series(enum metric metric, const char *label);

void metric_add(struct metric_series *series, uint64_t n);
void metric_set(struct metric_series *series, int64_t value);
int64_t metric_value(const struct metric_series *series);

/* Shorthand for metrics without a label. */
void metric_count(enum metric metric, uint64_t n);

/* Append all series in the Prometheus text exposition format 0.0.4. */
void metrics_render(struct buffer *out);
