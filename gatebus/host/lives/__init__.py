"""Programs that outlive their process and their host: parked, stored, copied, and gone on with; see lifetable first."""
