//! The table that is printed in the end.

/// What a figure is to be, compared with pyshmem's or with the floor.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At least so many times the peer's rate, so a time of at most the peer's by that.
    Faster(f64),
    /// A time of at most the floor's by that.
    OfFloor(f64),
    /// As the row above.
    Open,
}

/// One figure: how long something takes.
pub(crate) struct Row {
    pub(crate) what: String,
    /// Seconds.
    pub(crate) time: f64,
    /// What the same takes without streams.
    pub(crate) floor: Option<f64>,
    /// What pyshmem takes.
    pub(crate) peer: Option<f64>,
    pub(crate) target: Target,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

impl Table {
    pub(crate) fn add(&mut self, what: impl Into<String>, time: f64, target: Target) {
        self.rows.push(Row {
            what: what.into(),
            time,
            floor: None,
            peer: None,
            target,
        });
    }

    pub(crate) fn add_beside(
        &mut self,
        what: impl Into<String>,
        time: f64,
        floor: f64,
        target: Target,
    ) {
        self.add(what, time, target);
        if let Some(row) = self.rows.last_mut() {
            row.floor = Some(floor);
        }
    }

    /// Says what ran, where times mean nothing.
    pub(crate) fn print_names(&self) {
        for row in &self.rows {
            println!("ran: {}", row.what);
        }
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<46} {:>11} {:>11} {:>11}  target",
            "median", "shmstream", "floor", "pyshmem"
        );
        for row in &self.rows {
            let other = |time: Option<f64>| time.map_or_else(|| String::from("-"), microseconds);
            println!(
                "{:<46} {:>11} {:>11} {:>11}  {}",
                row.what,
                microseconds(row.time),
                other(row.floor),
                other(row.peer),
                row.verdict()
            );
        }
    }
}

impl Row {
    fn verdict(&self) -> String {
        let (times, other, words) = match self.target {
            Target::Faster(times) => (times, self.peer, "pyshmem's rate"),
            Target::OfFloor(times) => (times, self.floor, "the floor's rate"),
            Target::Open => return String::new(),
        };
        let Some(other) = other else {
            return format!("{times} x {words}: not compared");
        };
        let met = match other / self.time >= times {
            true => "met",
            false => "MISSED",
        };
        format!("{times} x {words}: {met}, {:.2}", other / self.time)
    }
}

fn microseconds(seconds: f64) -> String {
    format!("{:.1} µs", seconds * 1e6)
}
