use safeos_suite_tests::run::say;

/// Puts this thread, and everything it starts from now on, into a network of its own that has nothing but a loopback:
/// no packet of a test leaves it. Needs root; without it the network is the computer's, and this says so.
pub fn alone() {
    // SAFETY: a system call without memory.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        say(
            "the network's tests share this computer's network: only root gives them one of their own",
        );
        return;
    }
    // A loopback is down in the beginning.
    // SAFETY: plain system calls on a socket of our own; the request outlives them.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        assert!(
            socket >= 0,
            "no socket: {}",
            std::io::Error::last_os_error()
        );
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS as _, &raw mut request);
        let error = std::io::Error::last_os_error();
        libc::close(socket);
        assert_eq!(done, 0, "the loopback does not come up: {error}");
    }
}
