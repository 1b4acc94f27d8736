"""The services that programs can talk to: one small class each; `service_table` lists them.

Nothing is imported here: whoever runs an ordinary WASI program needs the origin and none of the others.
"""
