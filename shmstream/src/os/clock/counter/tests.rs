use super::*;

/// Returns a clock that has measured the rate, or `None` where there is no counter.
fn measured() -> Option<Counter> {
    prepare();
    if USABLE.get() != Some(&true) {
        return None;
    }
    let counter = Counter::new();
    for _ in 0..1000 {
        counter.read();
        if counter.rate.get() != 0 {
            return Some(counter);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    // A rate is measured over a second at most, so a machine that is very busy may never get one.
    None
}

#[test]
fn is_never_late_and_never_runs_backwards() {
    prepare();
    let counter = Counter::new();
    let mut last = 0;
    for _ in 0..200_000 {
        let now_ns = counter.monotonic_ns();
        let after = monotonic_ns();
        assert!(
            last <= now_ns && now_ns <= after,
            "{last}, {now_ns}, {after}"
        );
        last = now_ns;
    }
}

#[test]
fn is_early_by_no_more_than_it_says() {
    let Some(counter) = measured() else { return };
    let mut by_counter = 0;
    for _ in 0..200_000 {
        let before = monotonic_ns();
        let read_ns = counter.read_ns.get();
        let now_ns = counter.monotonic_ns();
        by_counter += u32::from(counter.read_ns.get() == read_ns);
        assert!(
            now_ns + TIGHT_NS + TRUSTED_NS / 500 >= before,
            "{now_ns} is before {before}"
        );
    }
    assert!(by_counter > 0, "the counter was never read");
}

#[test]
fn a_reading_is_good_for_microseconds() {
    let Some(counter) = measured() else { return };
    let trusted = counter.trusted_ticks.get();
    assert!(trusted == 0 || (trusted * counter.rate.get()) >> RATE_SHIFT <= TRUSTED_NS);
    std::thread::sleep(std::time::Duration::from_micros(50));
    let read_ns = counter.read_ns.get();
    counter.monotonic_ns();
    assert!(counter.read_ns.get() > read_ns, "the clock was read anew");
}

#[test]
fn the_rate_is_that_of_the_clock() {
    let Some(counter) = measured() else { return };
    // Both at the same moment: of many readings the one with the least around it.
    let both = || {
        let readings = (0..1000).map(|_| {
            let before = ticks::now_behind();
            let ns = monotonic_ns();
            (ticks::now_behind() - before, ns, before)
        });
        readings.min().map(|(_, ns, ticks)| (ns, ticks))
    };
    let (before_ns, before_ticks) = both().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let (after_ns, after_ticks) = both().unwrap();
    let past_ns = u128::from(after_ns - before_ns);
    let by_rate = to_ns(after_ticks - before_ticks, counter.rate.get());
    assert!(
        by_rate > past_ns * 99 / 100 && by_rate < past_ns,
        "{by_rate} for {past_ns}"
    );
}

#[test]
fn no_rate_is_made_of_a_span_that_is_too_short_or_too_long() {
    let counter = Counter::new();
    counter.measure(1 << 40, 1 << 40);
    assert_eq!(counter.rate.get(), 0, "since when?");
    counter.measure((1 << 40) + MEASURED_NS.start - 1, 1 << 41);
    assert_eq!(counter.rate.get(), 0, "too short");
    let (ns, ticks) = (
        (1 << 40) + MEASURED_NS.start,
        (1 << 40) + 2 * MEASURED_NS.start,
    );
    counter.measure(ns, ticks);
    let half = 1 << (RATE_SHIFT - 1);
    assert!(counter.rate.get() < half && counter.rate.get() > half - half / 500);
    counter.measure(ns + MEASURED_NS.end, ticks + MEASURED_NS.end);
    assert_eq!(counter.rate.get(), 0, "too long: the machine slept");
    counter.measure(
        ns + MEASURED_NS.end + MEASURED_NS.start,
        ticks + MEASURED_NS.end,
    );
    assert_eq!(counter.rate.get(), 0, "the counter stood still");
}
