# SPDX-License-Identifier: Apache-2.0
# Sourced by the programs that run tests (tests/run, .ci/run, tests/campaign): steps with a log each, reports for tests/tally.
# The caller has set: root (top of the source tree), results (folder for reports; emptied by steps_begin). It may set runner: a
# command, as an array, under which meson_tests and python_tests run.
runner=()

steps_begin() {
	rm -rf "$results"
	mkdir -p "$results"
	# a crash is to be told, not to leave a core of patients' data
	ulimit -c 0
	export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
	export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
	export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1"
	export PYTHONDONTWRITEBYTECODE=1
}

say() {
	printf '%s  %s\n' "$(date +%H:%M:%S)" "$*"
}

# step NAME COMMAND...: run it, keep its output, count it as one test. Returns its status.
step() {
	local name=$1 status=0 since=$SECONDS
	shift
	"$@" >"$results/$name.log" 2>&1 </dev/null || status=$?
	if [ "$status" = 0 ]; then
		mv "$results/$name.log" "$results/$name.passed"
		say "ok      $name ($((SECONDS - since)) s)"
	else
		echo "(exit status $status)" >>"$results/$name.log"
		mv "$results/$name.log" "$results/$name.failed"
		say "FAILED  $name ($((SECONDS - since)) s)"
	fi
	return "$status"
}

# told_step NAME COMMAND...: the same, and what it printed is shown: counts and figures.
told_step() {
	local status=0
	step "$@" || status=$?
	if [ -f "$results/$1.passed" ]; then sed 's/^/    /' "$results/$1.passed"; fi
	return "$status"
}

# build_tree FOLDER MESON-OPTION...: configure (again from nothing when an old folder does not do) and compile.
build_tree() {
	local folder=$1
	shift
	if ! { [ -f "$folder/build.ninja" ] && meson setup --reconfigure "$folder" "$root" "$@"; }; then
		rm -rf "$folder"
		meson setup "$folder" "$root" "$@" || return
	fi
	ninja -C "$folder"
}

# report NAME SUFFIX STATUS SECONDS: say how a runner ended; one that left no report counts as a failure.
report() {
	local name=$1 suffix=$2 status=$3 taken=$4
	if [ ! -s "$results/$name.$suffix" ]; then
		mv "$results/$name.log" "$results/$name.failed"
		status=1
	elif [ "$status" -ge 124 ]; then
		{ echo "stopped: it took too long"; tail -n 50 "$results/$name.log"; } >"$results/$name.time.failed"
	fi
	if [ "$status" = 0 ]; then say "ok      $name ($taken s)"; else say "FAILED  $name ($taken s)"; fi
}

# meson_tests NAME FOLDER OPTION...: the unit tests and vectors of a build.
meson_tests() {
	local name=$1 folder=$2 status=0 since=$SECONDS
	shift 2
	rm -f "$folder/meson-logs/testlog.json"
	"${runner[@]}" timeout --foreground --kill-after=20 900 meson test -C "$folder" --no-rebuild --print-errorlogs "$@" \
		>"$results/$name.log" 2>&1 </dev/null || status=$?
	if [ -f "$folder/meson-logs/testlog.json" ]; then
		cp "$folder/meson-logs/testlog.json" "$results/$name.testlog.json"
	fi
	report "$name" testlog.json "$status" $((SECONDS - since))
}

# python_tests NAME FOLDER SECONDS PYTEST-ARGUMENT...: scenarios against the programs of a build, by Debian's own Python.
python_tests() {
	local name=$1 folder=$2 limit=$3 status=0 since=$SECONDS
	shift 3
	LIAISON_BUILD="$folder" "${runner[@]}" timeout --foreground --signal=INT --kill-after=30 "$limit" \
		/usr/bin/python3 -m pytest -p no:cacheprovider -q -ra --junitxml="$results/$name.junit.xml" "$@" \
		>"$results/$name.log" 2>&1 </dev/null || status=$?
	# 5: pytest found nothing to run in there
	if [ "$status" = 5 ]; then
		echo "pytest found no test in: $*" >>"$results/$name.log"
		rm -f "$results/$name.junit.xml"
	fi
	report "$name" junit.xml "$status" $((SECONDS - since))
}
