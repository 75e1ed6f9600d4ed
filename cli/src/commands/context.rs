use crate::dirs::Dirs;
use crate::output::Output;

/// The context of every command.
pub struct Context {
    /// Where things are on this computer.
    pub dirs: Dirs,
    /// Where answers go.
    pub output: Output,
}
