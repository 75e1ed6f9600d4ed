use crate::output::Output;
use crate::places::Places;

/// What every command has at hand.
pub struct Context {
    /// Where things are on this computer.
    pub places: Places,
    /// Where answers go.
    pub output: Output,
}
