//! The other end of plain connections, to tell the abilities of the guest's network from those that SafeOS adds.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// No request is for more.
const BYTES_MAX: usize = 1 << 30;

/// Listens until this program ends; where.
pub fn listen() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for line in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&line));
        }
    });
    Ok(address)
}

/// `send LENGTH PART`: takes that much and answers each part with a byte; `receive LENGTH`: sends that much.
fn serve(line: &TcpStream) -> Result<()> {
    let mut reader = BufReader::new(line);
    let mut asked = String::new();
    (&mut reader).take(100).read_line(&mut asked)?;
    let number = |word: &str| word.parse::<usize>().unwrap_or(0).min(BYTES_MAX);
    match asked.split_whitespace().collect::<Vec<_>>()[..] {
        ["send", length, part] => {
            let mut block = vec![0; number(part)];
            for _ in 0..number(length) / block.len().max(1) {
                reader.read_exact(&mut block)?;
                (&*line).write_all(&[0])?;
            }
        }
        ["receive", length] => (&*line).write_all(&vec![0; number(length)])?,
        _ => {}
    }
    Ok(())
}
