#!/bin/bash
# counter: a worker in shell that keeps its value through hand-off and crash.
#
#     counter.sh [--tick MS]      count by itself every MS milliseconds, too
#
# Calls and messages: "inc" counts, "get" only answers. The answer is {"count":N}, the same as its state.
# A count is answered once it is durable, so no answer is ever taken back.
# skep writes "type" first and "ref" before anything that others chose, so patterns are enough to read a line.
fd=${SKEP_FD:?start me with skep}
tick_ms=0
[ "${1-}" = --tick ] && tick_ms=$2
trap '' TERM # the line "stop" comes with it, and is enough

count=0
acks=0
declare -A waiting # ack -> what to send once it is durable
due_us=
handed_over= # what is counted from then on would be lost

send() {
    printf '%s\n' "$1" >&"$fd" || exit 1
}

now_us() {
    printf '%s' "${EPOCHREALTIME//[.,]/}"
}

# add REF: counts; the answer to REF, if there is one, waits for the ack.
add() {
    count=$((count + 1))
    acks=$((acks + 1))
    waiting[$acks]=${1:+"{\"type\":\"reply\",\"ref\":\"$1\",\"data\":{\"count\":$count}}"}
    send "{\"type\":\"checkpoint\",\"data\":{\"count\":$count},\"ack\":\"$acks\"}"
}

# take LINE: the state that came with it, if one did.
take() {
    [[ $1 =~ \"state\":\ *\{\"count\":\ *([0-9]+) ]] && count=${BASH_REMATCH[1]}
}

# asked LINE REF: a call has a ref and is answered; a message has none.
asked() {
    local refusal='the counter knows inc and get'
    if [[ $1 =~ \"data\":\ *\"inc\" ]]; then
        [ -n "$handed_over" ] || { add "$2"; return; }
        refusal='the counter is moving'
    elif [[ $1 =~ \"data\":\ *\"get\" ]]; then
        [ -z "$2" ] || send "{\"type\":\"reply\",\"ref\":\"$2\",\"data\":{\"count\":$count}}"
        return
    fi
    [ -z "$2" ] || send "{\"type\":\"fail\",\"ref\":\"$2\",\"detail\":\"$refusal\"}"
}

durable() {
    [[ $1 =~ \"ack\":\ *\"([0-9]+)\" ]] || return
    [ -z "${waiting[${BASH_REMATCH[1]}]-}" ] || send "${waiting[${BASH_REMATCH[1]}]}"
    unset "waiting[${BASH_REMATCH[1]}]"
}

step() {
    local kind= ref=
    [[ $1 =~ ^\{\"type\":\ *\"([a-z_]+)\" ]] && kind=${BASH_REMATCH[1]}
    [[ $1 =~ \"ref\":\ *\"([^\"]+)\" ]] && ref=${BASH_REMATCH[1]}
    case $kind in
    start)
        take "$1"
        send '{"type":"ready"}'
        ;;
    begin_handoff)
        handed_over=yes
        due_us=
        send "{\"type\":\"state\",\"ref\":\"$ref\",\"data\":{\"count\":$count}}"
        ;;
    end_handoff)
        take "$1"
        send "{\"type\":\"restored\",\"ref\":\"$ref\"}"
        ;;
    resolve_conflict) # two of us ran, on two sides of a cut: the greater count is kept
        local mine=$count
        take "$1"
        [ "$count" -ge "$mine" ] || count=$mine
        send "{\"type\":\"checkpoint\",\"data\":{\"count\":$count}}"
        ;;
    call | message) asked "$1" "$ref" ;;
    ok) durable "$1" ;;
    error)
        echo "counter: refused: $1" >&2
        exit 1
        ;;
    stop) exit 0 ;;
    esac
}

line=
while :; do
    wait=()
    if [ -n "$due_us" ]; then
        left_us=$((due_us - $(now_us)))
        [ "$left_us" -gt 1000 ] || left_us=1000
        printf -v left '%d.%06d' $((left_us / 1000000)) $((left_us % 1000000))
        wait=(-t "$left")
    fi
    IFS= read -r "${wait[@]}" -u "$fd" part
    status=$?
    line+=$part # a read that ran out of time keeps what had come
    if [ "$status" = 0 ]; then
        step "$line"
        line=
        [ "$tick_ms" = 0 ] || [ -n "$handed_over" ] || : "${due_us:=$(($(now_us) + tick_ms * 1000))}"
    elif [ "$status" -le 128 ]; then
        echo "counter: skep has closed the channel" >&2
        exit 1
    fi
    if [ -n "$due_us" ] && [ "$(now_us)" -ge "$due_us" ]; then
        due_us=$(($(now_us) + tick_ms * 1000))
        add ""
    fi
done
