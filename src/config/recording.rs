//! What the parser asks for while it reads a tree: the keys, and what each has to be.

use std::cell::RefCell;

use super::shape::ValueShape;

/// What was asked for, in order.
#[derive(Debug, Default)]
pub(super) struct Recording(RefCell<Vec<AskedKey>>);

/// Something that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AskedKey {
    /// The dotted key.
    pub(super) path: String,
    /// As what.
    pub(super) form: KeyForm,
}

/// What a key was asked for as.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyForm {
    /// A value; none: it does not say of which shape.
    Value(Option<ValueShape>),
    /// A table.
    Table,
    /// A list of tables, or one alone.
    Tables,
    /// A table of tables with names that users choose.
    NamedTables,
    /// A table of values with names that users choose.
    NamedValues(Option<ValueShape>),
    /// Something that may be left out, with nothing said of what it is.
    Anything,
    /// Something that must be there.
    Required,
    /// A table that is read now, whether it was written or not.
    Read,
}

impl Recording {
    pub(super) fn note(&self, path: String, form: KeyForm) {
        self.0.borrow_mut().push(AskedKey { path, form });
    }

    pub(super) fn into_keys(self) -> Vec<AskedKey> {
        self.0.into_inner()
    }
}
