-- A row that has the key of another and is something else all the same: left out, and noted.

alter table note drop constraint note_code_check;
alter table note add constraint note_code_check check (code in ('duplicate_in_file', 'edited_since', 'conflict'));
