use crate::dirs::Dirs;
use crate::output::Output;

/// What every command has at hand.
pub struct Context {
    /// Where things are on this computer.
    pub dirs: Dirs,
    /// Where answers go.
    pub output: Output,
}
