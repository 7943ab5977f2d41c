"""The REST API: jobs and what belongs to them over HTTP, on the same statements as everything else.

addresses   where it may listen, and as whom it lets people in there
guard       what every request must pass, and every answer carries
gate        who asks: the local user, a Supabase token (tokens), an API key; how often they may
problems    errors, in one shape
events      how far jobs are, told to any number of listeners by one question a second
routes/     one file per subject; what they ask the database is in `db/`
"""
