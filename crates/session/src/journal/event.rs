use super::frame::OwnedFrame;

/// An item that replaying a stage finds, in order.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A segment begins.
    Segment {
        /// The stage's identity.
        id: [u8; 16],
        /// The segment's number; grows.
        number: u64,
        /// The base that [`Stage::create`](super::Stage::create) or [`Stage::cut`](super::Stage::cut) was given.
        base: Vec<u8>,
    },
    /// A whole frame.
    Frame(OwnedFrame),
}
