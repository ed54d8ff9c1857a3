/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters and gauges: a list of series per metric, each an atomic number.
 *
 * Series are only ever added, so a pointer to one is good for ever and counting needs no lock; making and printing hold one.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "broker/base/metrics.h"

struct metric_series {
	atomic_int_fast64_t value;
	struct metric_series *next;
	const char *label;
};

enum metric_type {
	TYPE_counter,
	TYPE_gauge,
};

static const struct {
	const char *name;
	enum metric_type type;
	const char *label; /* NULL: none */
	const char *help;
} catalogue[METRIC_COUNT] = {
#define METRIC(id, name, type, label, help) [METRIC_##id] = { name, TYPE_##type, label, help },
#include "broker/base/metrics.def"
#undef METRIC
};

static struct {
	pthread_mutex_t lock;
	struct {
		struct metric_series
		    plain; /* the only one of a metric without labels, the "(other)" of one with */
		atomic_bool other_used;
		struct metric_series *first;
		struct metric_series **end; /* NULL while there is none */
		size_t count;
	} of[METRIC_COUNT];
} all = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct metric_series *
find(enum metric metric, const char *label)
{
	for (struct metric_series *s = all.of[metric].first; s; s = s->next)
		if (strcmp(s->label, label) == 0)
			return s;
	return NULL;
}

/* NULL when there is no memory or no more place. */
static struct metric_series *
make(enum metric metric, const char *label)
{
	struct metric_series *series;
	size_t size = strlen(label) + 1;

	if (all.of[metric].count >= METRIC_SERIES_MAX)
		return NULL;
	series = malloc(sizeof(*series) + size); /* the label lies behind it */
	if (!series)
		return NULL;
	*series = (struct metric_series){ .label = memcpy(series + 1, label, size) };
	if (!all.of[metric].end)
		all.of[metric].end = &all.of[metric].first;
	*all.of[metric].end = series;
	all.of[metric].end = &series->next;
	all.of[metric].count++;
	return series;
}

struct metric_series *
metric_series(enum metric metric, const char *label)
{
	struct metric_series *series;

	if (!catalogue[metric].label)
		return &all.of[metric].plain;
	if (!label)
		label = "";
	(void)pthread_mutex_lock(&all.lock);
	series = find(metric, label);
	if (!series)
		series = make(metric, label);
	(void)pthread_mutex_unlock(&all.lock);
	if (series)
		return series;
	atomic_store(&all.of[metric].other_used, true);
	return &all.of[metric].plain;
}

void
metric_add(struct metric_series *series, uint64_t n)
{
	atomic_fetch_add_explicit(&series->value, (int64_t)n, memory_order_relaxed);
}

void
metric_set(struct metric_series *series, int64_t value)
{
	atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

int64_t
metric_value(const struct metric_series *series)
{
	return atomic_load_explicit(&series->value, memory_order_relaxed);
}

void
metric_count(enum metric metric, uint64_t n)
{
	metric_add(&all.of[metric].plain, n);
}

/* A label value as the format wants it: backslash, quote and line feed escaped; other controls cannot be said and become '?'. */
static void
render_label(struct buffer *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			buffer_append_str(out, "\\n");
		else if ((unsigned char)*text < 0x20 || *text == 0x7f)
			buffer_append_byte(out, '?');
		else if (*text == '\\' || *text == '"')
			buffer_printf(out, "\\%c", *text);
		else
			buffer_append_byte(out, (uint8_t)*text);
	}
}

static void
render_series(struct buffer *out, enum metric metric, const char *label, const struct metric_series *series)
{
	buffer_append_str(out, catalogue[metric].name);
	if (label) {
		buffer_printf(out, "{%s=\"", catalogue[metric].label);
		render_label(out, label);
		buffer_append_str(out, "\"}");
	}
	buffer_printf(out, " %" PRId64 "\n", metric_value(series));
}

void
metrics_render(struct buffer *out)
{
	static const char *const types[] = { [TYPE_counter] = "counter", [TYPE_gauge] = "gauge" };

	(void)pthread_mutex_lock(&all.lock);
	for (int m = 0; m < METRIC_COUNT; m++) {
		const struct metric_series *plain = &all.of[m].plain;

		buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", catalogue[m].name, catalogue[m].help,
		    catalogue[m].name, types[catalogue[m].type]);
		if (!catalogue[m].label)
			render_series(out, (enum metric)m, NULL, plain);
		for (const struct metric_series *s = all.of[m].first; s; s = s->next)
			render_series(out, (enum metric)m, s->label, s);
		if (atomic_load(&all.of[m].other_used))
			render_series(out, (enum metric)m, "(other)", plain);
	}
	(void)pthread_mutex_unlock(&all.lock);
}
