/// One side speaks with TLS and the other without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mixed {
    /// We do not.
    #[error("it speaks TLS: write https:// in the store's URL instead of http://")]
    ItHasTls,
    /// It does not.
    #[error(
        "it speaks no TLS: write http:// in the store's URL instead of https://, or have the gateway started with --tls-cert and --tls-key"
    )]
    ItHasNone,
    /// It ended the connection.
    #[error("it ended the connection when TLS was to begin: see whether it serves https")]
    Ended,
}

impl Mixed {
    /// The protocol that the first incoming byte shows.
    pub(super) fn of(first: u8, with_tls: bool) -> Option<Self> {
        // Kinds of records of TLS, among which an alert or a handshake comes first; and the start of `HTTP/`.
        match (first, with_tls) {
            (0x14..=0x17, false) => Some(Self::ItHasTls),
            (b'H', true) => Some(Self::ItHasNone),
            _ => None,
        }
    }
}
