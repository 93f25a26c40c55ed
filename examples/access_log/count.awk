# Counts an access log in the combined format without mq: hits per path and bytes per hour of the
# well-formed lines, and how many lines are malformed. Splitting at quotes is all the parsing it
# does, so it shares nothing with the handlers whose result it checks.
#
#   awk -f count.awk access.log | LC_ALL=C sort
BEGIN { FS = "\"" }

# A whole line has three quoted parts (request, referrer, agent), so seven fields and nothing after.
NF != 7 || $7 != "" { malformed++; next }
{
    split($1, head, " ")
    split($2, request, " ")
    split($3, answer, " ")
    if (head[4] !~ /^\[[0-9][0-9]\// || request[3] == "" || answer[1] !~ /^[0-9]+$/ || answer[2] !~ /^([0-9]+|-)$/) {
        malformed++
        next
    }
    hour = substr(head[4], 2, 14)
    path = request[2]
    sub(/\?.*/, "", path)
    hits[path]++
    bytes[hour] += answer[2] == "-" ? 0 : answer[2]
}
END {
    for (path in hits) print "hits\t" path "\t" hits[path]
    for (hour in bytes) printf "bytes\t%s\t%.0f\n", hour, bytes[hour]
    print "malformed\t-\t" malformed + 0
}
