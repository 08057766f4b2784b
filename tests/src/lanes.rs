//! What the bar `lanes` shows: every scenario file comes out as it says, and each thing that a shipped profile can do is
//! shown by one of them. The things are read from the profiles themselves: no list of them is kept beside.

pub mod batch;
pub mod cells;
pub mod files;
pub mod house;
pub mod proof;
pub mod real;
pub mod script;
pub mod table;
pub mod targets;
