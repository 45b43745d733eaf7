//! The dashboard, looked at with a browser as somebody.

mod accounts;
mod apps;
mod audit;
mod conflicts;
mod data;
mod device_actions;
mod exports;
mod invitations;
mod members;
mod overview;
mod plans;
mod rejected;
mod row_history;
mod second_factor;
mod simulator;
mod table_import;
mod table_rows;
mod tables;
mod users;
mod verdicts;
