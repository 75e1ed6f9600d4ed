//! The connections under a store that is elsewhere.

/// What a store's connections say and take.
pub trait Transport {
    /// The bytes of bodies received so far, of all calls together, those under way included.
    fn received(&self) -> u64;

    /// So many calls at once follow soon: makes connections for them, as far as there are none. Does not wait, and says
    /// nothing when it cannot help.
    fn dial_ahead(&self, calls: usize);
}
