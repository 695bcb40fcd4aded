//! The memory of the process itself.

use crate::sys;

/// Gives free pages of the heap back to the system. The C library keeps what was used once, in a place for each thread; after
/// the start of a server that is a third of its heap. Takes a few milliseconds, in which other threads may wait.
pub fn give_back() {
    sys::trim_heap();
}
