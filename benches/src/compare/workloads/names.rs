//! Names that nobody else has.

use std::sync::atomic::{AtomicU32, Ordering};

/// Returns a name of a stream, file or service.
pub(crate) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("compare-{}-{number}", std::process::id())
}
