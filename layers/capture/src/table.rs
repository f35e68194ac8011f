//! A captured table, as its rows have to be read and written.

use crate::pgoutput::Relation;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// `"name":`, ready to be written.
    pub(crate) label: Vec<u8>,
    pub(crate) type_oid: u32,
    /// Whether it belongs to the replica identity.
    pub(crate) key: bool,
}

impl Column {
    pub(crate) fn new(name: &str, type_oid: u32, key: bool) -> Self {
        let mut label = Vec::with_capacity(name.len() + 3);
        crate::value::string(&mut label, name);
        label.push(b':');
        Self { name: name.to_owned(), label, type_oid, key }
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) topic: String,
    /// `{"db":…,"schema":…,"table":…`, ready to be written.
    pub(crate) source: Vec<u8>,
    pub(crate) columns: Vec<Column>,
    /// Place of the column `member_id`.
    pub(crate) member: Option<usize>,
    /// Places of the primary key's columns.
    pub(crate) primary: Vec<usize>,
}

impl Table {
    pub(crate) fn new(database: &str, schema: &str, name: &str, columns: Vec<Column>, primary_key: &[String]) -> Self {
        let place = |wanted: &str| columns.iter().position(|column| column.name == wanted);
        let (member, primary) = (place("member_id"), primary_key.iter().filter_map(|name| place(name)).collect());
        let mut source = b"{\"db\":".to_vec();
        crate::value::string(&mut source, database);
        source.extend_from_slice(b",\"schema\":");
        crate::value::string(&mut source, schema);
        source.extend_from_slice(b",\"table\":");
        crate::value::string(&mut source, name);
        Self { name: name.to_owned(), topic: model::topic::crm(name), source, columns, member, primary }
    }

    pub(crate) fn of_relation(database: &str, relation: &Relation<'_>, primary_key: &[String]) -> Self {
        let columns =
            relation.columns.iter().map(|column| Column::new(column.name, column.type_oid, column.key)).collect();
        Self::new(database, relation.schema, relation.name, columns, primary_key)
    }
}
