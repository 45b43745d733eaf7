//! Having what is written to tables put down, in apps where something has happened since the last time.

use crate::{sync::Engine, tables::activity};

impl Engine {
    /// Put down what was written to the tables of the apps that this node has counted something in.
    ///
    /// # Errors
    /// The last app's that failed; it is tried again, and the others are done all the same.
    pub async fn note_table_activity(&self) -> Result<(), sqlx::Error> {
        let mut outcome = Ok(());
        for app in self.apps_with_writes.take() {
            if let Err(error) = activity::note(&self.apps, &app.schema(), self.clock.now()).await {
                self.apps_with_writes.note(app);
                outcome = Err(error);
            }
        }
        outcome
    }
}
