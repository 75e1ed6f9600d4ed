//! The content of files.

use super::{file, holds, open};
use crate::files::{Files, How, read_all};

/// Bytes that one descriptor writes another reads, also in pieces.
pub fn written_bytes_are_read(files: &dyn Files, dir: &str) {
    let path = format!("{dir}/a");
    let fd = open(files, &path);
    assert_eq!(files.write(fd, b"hello "), Ok(6));
    assert_eq!(files.write(fd, b"world"), Ok(5));
    let mut buf = [0; 64];
    assert_eq!(files.read_at(fd, &mut buf, 6), Ok(5));
    assert_eq!(&buf[..5], b"world");
    assert_eq!(files.read(fd, &mut buf), Ok(0));
    assert_eq!(files.fstat(fd).unwrap().size, 11);
    assert_eq!(files.seek_end(fd), Ok(11));
    files.close(fd);
    holds(files, &path, b"hello world");
}

/// A copy in blocks is the same.
pub fn cat_and_cp(files: &dyn Files, dir: &str) {
    let data: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let (from, to) = (format!("{dir}/from"), format!("{dir}/to"));
    file(files, &from, &data);
    let (source, target) = (files.open(&from, How::READ), files.open(&to, How::CREATE));
    let (source, target) = (source.unwrap(), target.unwrap());
    let mut buf = vec![0; 100_000];
    loop {
        let count = files.read(source, &mut buf).unwrap();
        if count == 0 {
            break;
        }
        assert_eq!(files.write(target, &buf[..count]), Ok(count));
    }
    files.close(source);
    files.close(target);
    assert!(read_all(files, &to).unwrap() == data);
}
