//! Rows of the participant table and the kernel locks that stand for them.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::os::fork::Unshared;
use crate::os::lock;
use crate::protocol::Control;

/// Finds a row whose owner is gone, or that never had one, and makes it this handle's.
pub(super) fn claim(name: &StreamName, file: &Unshared, control: Control<'_>) -> Result<usize> {
    // A row can look taken for the moment in which somebody clears it after a death, so a full
    // table is looked at more than once.
    for pause in [0, 1, 10, 30].map(Duration::from_millis) {
        std::thread::sleep(pause);
        let mut attached = vec![false; control.participants()];
        control.attached().for_each(|row| attached[row] = true);
        // Rows that nobody uses come first; dead ones after them cost a look each.
        let mut rows: Vec<_> = (0..attached.len()).collect();
        rows.sort_by_key(|&row| attached[row]);
        for row in rows {
            let free = lock::try_lock_row(file, row)
                .map_err(|error| Error::os(name, "lock a row of the participant table", error))?;
            if free {
                kill_point!(AttachLocked);
                control.attach(row, std::process::id());
                return Ok(row);
            }
        }
    }
    Err(Error::TooManyParticipants {
        name: name.clone(),
        participants: u32::try_from(control.participants()).unwrap_or(u32::MAX),
    })
}

/// Clears the rows of dead participants that pin any of `slots` or await a frame in them, and
/// returns whether it found one.
///
/// `own` is the caller's row, whose lock would be granted to it again.
pub(super) fn reclaim(
    name: &StreamName,
    file: &Unshared,
    control: Control<'_>,
    own: usize,
    slots: u64,
) -> Result<bool> {
    let mut found = false;
    for row in control.attached() {
        if row == own || !control.holds(row, slots).any() {
            continue;
        }
        let dead = lock::try_lock_row(file, row)
            .map_err(|error| Error::os(name, "test a participant's lock", error))?;
        if dead {
            kill_point!(ReclaimLocked);
            control.bury(row);
            lock::unlock_row(file, row);
            kill_point!(ReclaimUnlocked);
            found = true;
        }
    }
    Ok(found)
}
