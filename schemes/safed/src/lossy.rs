//! Whether this system's network loses what it says it has taken.

use std::io::Write as _;
use std::sync::Once;

use safeos_store::loss::{Loss, this_system};

/// Says in the log, once, if uploads to servers go in parts here. Not when the computer starts: the network stack of
/// today forgets its opener before it has come up, and with that opening the whole system waits. No caller waits for
/// this; where no thread can be started it is found out at the first upload.
pub fn say_if_lossy() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        let thread = std::thread::Builder::new().name("safed-network".to_owned());
        let _ = thread.spawn(|| {
            let why = match this_system() {
                Loss::Keeps => return,
                Loss::Loses => "loses what does not fit its buffers",
                Loss::Unknown => "could not be tried, and may lose what does not fit its buffers",
            };
            let _ = writeln!(
                std::io::stderr(),
                "safed: the network of this system {why}: large uploads go in parts, which is slower"
            );
        });
    });
}
