//! The program that QEMU starts for each connection of the guest: joins its standard streams to a server on this
//! computer.
//!
//! What always holds here: nothing is said on the standard streams but the bytes of the connection.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// The first argument of such a process.
pub const JOIN: &str = "join";
const BLOCK: usize = 64 * 1024;

/// Until the server ends the connection.
pub fn join(address: &str) -> Option<()> {
    let address: SocketAddr = address.parse().ok()?;
    let mut server = TcpStream::connect(address).ok()?;
    let _ = server.set_nodelay(true);
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || {
        pass(&mut std::io::stdin(), &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    pass(&mut server, &mut std::io::stdout());
    Some(())
}

/// Passes bytes on until one of the two ends.
fn pass(from: &mut impl Read, to: &mut impl Write) {
    let mut block = vec![0; BLOCK];
    while let Ok(count @ 1..) = from.read(&mut block) {
        if to
            .write_all(&block[..count])
            .and_then(|()| to.flush())
            .is_err()
        {
            return;
        }
    }
}
